"""A session has one backend of each name with its options, however often it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from imagen_nb.backends.session import Backends
from imagen_nb.errors import UsageError
from tests.fixtures.lora_files import write_lora


class TestOneForEachNameAndOptions:
    def test_the_same_name_and_options_are_one_backend(self, schnell_folder: Path) -> None:
        backends = Backends("flux-tiny-local", {})
        other = backends.get("flux", {"model": str(schnell_folder)})
        assert backends.get("flux", {"model": str(schnell_folder)}) is other
        assert other.name == "flux"

    def test_no_name_means_the_configured_one(self) -> None:
        backends = Backends("flux-tiny-local", {})
        assert backends.get("flux-tiny-local") is backends.get()

    def test_an_option_that_is_none_is_not_given(self) -> None:
        backends = Backends("flux-tiny-local", {})
        assert backends.get("flux-tiny-local", {"loras": None}) is backends.get()

    def test_configured_options_are_those_of_the_configured_backend_alone(
        self, schnell_folder: Path
    ) -> None:
        backends = Backends("flux", {"model": str(schnell_folder)})
        assert backends.get().model == "schnell-like"
        assert backends.get("flux-tiny-local").name == "flux-tiny-local"

    def test_none_takes_a_configured_option_away(self, schnell_folder: Path) -> None:
        backends = Backends("flux", {"model": str(schnell_folder)})
        with pytest.raises(UsageError, match="needs model"):
            backends.get(None, {"model": None})

    def test_lists_of_loras_are_compared_by_what_is_in_them(self, tmp_path: Path) -> None:
        backends = Backends("flux-tiny-local", {})
        file = str(write_lora(tmp_path / "a.safetensors"))
        half = backends.get(None, {"loras": [(file, 0.5)]})
        assert backends.get(None, {"loras": [(file, 0.5)]}) is half
        assert backends.get(None, {"loras": [(file, 0.25)]}) is not half

    def test_a_list_that_changed_after_the_call_is_another(self, tmp_path: Path) -> None:
        backends = Backends("flux-tiny-local", {})
        loras = [(str(write_lora(tmp_path / "a.safetensors")), 1.0)]
        before = backends.get(None, {"loras": loras})
        loras.clear()
        assert backends.get(None, {"loras": loras}) is not before

    def test_iterators_are_never_taken_for_each_other(self, tmp_path: Path) -> None:
        """The address of one that is gone is soon that of the next."""
        backends = Backends("flux-tiny-local", {})
        files = [write_lora(tmp_path / f"{number}.safetensors") for number in range(4)]
        made = [backends.get(None, {"loras": iter([file])}) for file in files]
        assert len({id(backend) for backend in made}) == len(files)

    def test_memory_plans_are_compared_key_by_key_in_any_order(self) -> None:
        backends = Backends("flux-tiny-local", {})
        freed = backends.get(None, {"memory": {"batch": 1, "text_encoders": "freed"}})
        assert backends.get(None, {"memory": {"text_encoders": "freed", "batch": 1}}) is freed
        assert backends.get(None, {"memory": {"text_encoders": "freed", "batch": 2}}) is not freed

    def test_true_is_not_taken_for_one(self) -> None:
        backends = Backends("flux-tiny-local", {})
        backends.get(None, {"memory": {"batch": 1}})
        with pytest.raises(UsageError, match="whole number"):
            backends.get(None, {"memory": {"batch": True}})

    def test_a_value_that_has_no_hash_is_the_same_as_itself_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "imagen_nb.backends.session.make_backend", lambda name, **made: object()
        )
        backends = Backends("of-another-package", {})
        red = bytearray(b"red")
        first = backends.get(None, {"colour": red})
        assert backends.get(None, {"colour": red}) is first
        assert backends.get(None, {"colour": bytearray(b"red")}) is not first


@pytest.mark.usefixtures("registered")
class TestSecrets:
    HOSTED: ClassVar[str] = "flux-dev-replicate"

    @pytest.fixture
    def backends(self) -> Backends:
        return Backends("flux-tiny-local", {})

    @pytest.mark.parametrize("kind", [SecretStr, str])
    def test_two_tokens_are_two_backends(self, backends: Backends, kind: Any) -> None:
        mine = backends.get(self.HOSTED, {"api_token": kind("r8_mine")})
        yours = backends.get(self.HOSTED, {"api_token": kind("r8_yours")})
        assert mine is not yours

    @pytest.mark.parametrize("kind", [SecretStr, str])
    def test_the_same_token_is_the_same_backend(self, backends: Backends, kind: Any) -> None:
        mine = backends.get(self.HOSTED, {"api_token": kind("r8_mine")})
        assert backends.get(self.HOSTED, {"api_token": kind("r8_mine")}) is mine

    @pytest.mark.parametrize("kind", [SecretStr, str])
    def test_no_token_is_in_what_python_shows_of_the_session(
        self, backends: Backends, kind: Any
    ) -> None:
        backends.get(self.HOSTED, {"api_token": kind("r8_mine")})
        assert "r8_mine" not in f"{backends!r} {vars(backends)!r}"


class TestWhatIsKnownOfABackend:
    def test_why_auto_chose_it_is_told_once(self) -> None:
        backends = Backends("auto", {})
        assert backends.why(backends.get()).startswith("drawing with flux-tiny-local")
        assert backends.why(backends.get()) == ""

    def test_nobody_wonders_why_a_backend_that_was_named_draws(self) -> None:
        backends = Backends("auto", {})
        assert backends.why(backends.get("flux-tiny-local")) == ""

    def test_whether_it_has_drawn(self) -> None:
        backends = Backends("flux-tiny-local", {})
        assert not backends.has_drawn(backends.get())
        backends.note_drawn(backends.get())
        assert backends.has_drawn(backends.get())
