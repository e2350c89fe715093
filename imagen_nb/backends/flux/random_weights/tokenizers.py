"""Made-up tokenizers with as many words as the true ones."""

from __future__ import annotations

from pathlib import Path

from imagen_nb.backends.flux.random_weights.architectures import Vocabulary


def write_tokenizer(vocabulary: Vocabulary, folder: Path) -> None:
    """Write a tokenizer: the special words, one for each byte, and fillers.

    FLUX pads a prompt to a fixed length: which words it is made of takes no other time.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = iter(sorted(pre_tokenizers.ByteLevel.alphabet()))
    words: dict[str, int] = {}
    for place in range(vocabulary.size):
        special = vocabulary.specials.get(place)
        words[special or next(letters, f"<filler_{place}>")] = place
    made = Tokenizer(models.BPE(vocab=words, merges=[], unk_token=None))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if vocabulary.template:
        made.post_processor = processors.TemplateProcessing(
            single=vocabulary.template,
            special_tokens=[
                (word, words[word])
                for word in vocabulary.specials.values()
                if word in vocabulary.template
            ],
        )
    folder.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(
        tokenizer_object=made, **vocabulary.options
    ).save_pretrained(folder)
