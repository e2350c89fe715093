"""The tokenizer of the embedded FLUX: folds synonyms, drops words that the model does not know.

One word is one token. Unknown words vanish before the model sees them, so they are harmless:
"a majestic crimson lighthouse" and "a red lighthouse" are the same ids to it.
"""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast
from vocabulary import SYNONYMS, WORDS

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
VOCABULARY = {word: i for i, word in enumerate((PAD, END, UNKNOWN, *WORDS))}
MAX_TOKENS = 16


def new_tokenizer() -> PreTrainedTokenizerFast:
    """Text -> at most 16 ids of known words, ended by `</s>`, padded with `<pad>`."""
    tokenizer = Tokenizer(WordLevel(VOCABULARY, unk_token=UNKNOWN))
    known = "|".join(WORDS)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            *(
                normalizers.Replace(Regex(rf"\b(?:{p})\b"), w)
                for p, w in SYNONYMS.items()
            ),
            normalizers.Replace(Regex(rf"\b(?!(?:{known})\b)\w+"), " "),
            normalizers.Replace(Regex("[^a-z]+"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, VOCABULARY[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=MAX_TOKENS,
    )
