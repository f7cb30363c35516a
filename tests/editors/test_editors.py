"""Editing: agreement with the stock pipeline, independence of batch and cache, and how it fails."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from full_editor import Stock
from PIL import Image
from torch import Tensor

from bench import miniature
from bench.editors import pixels
from bench.editors.cache import EditCache
from bench.editors.engine import FULL, ROOMY, WIDE, Engine, get_engine, rows
from bench.editors.settings import EditSettings, defaults
from bench.errors import UserError

SETTINGS = EditSettings(steps=2)
GUIDED = EditSettings(steps=2, guidance=4.5, image_guidance=1.5)
PROMPT = "with oil pastel"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def _loaded() -> Engine:
    return Engine("miniature", batch=16)


@pytest.fixture
def engine(_loaded: Engine) -> Engine:
    """An engine that remembers nothing of other tests."""
    _loaded.cache, _loaded.edited = None, 0
    forget(_loaded)
    return _loaded


def forget(engine: Engine) -> None:
    """Drop what ``engine`` keeps in memory, so that it computes anew."""
    engine._latents.clear()
    engine._prompts.clear()


def images(n: int, side: int = 32, seed: int = 0) -> Tensor:
    """``n`` random smooth images with 8-bit values."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 4, 4, generator=rng)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return (smooth * 255).round() / 255


def stock(x: Tensor, prompt: str, settings: EditSettings) -> Tensor:
    """The stock pipeline, called image by image with a fresh generator each; 8-bit values."""
    pipeline = Stock(miniature.PACK / "editor", "cpu", "float32")
    edits = pipeline.edit((x * 255).round().byte(), prompt, settings)
    pixels = [
        torch.frombuffer(bytearray(e.tobytes()), dtype=torch.uint8).view(32, 32, 3).permute(2, 0, 1) for e in edits
    ]
    return torch.stack(pixels).float() / 255


def psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * (a - b).square().mean().clamp_min(1e-12).log10())


@pytest.mark.parametrize("settings", [SETTINGS, GUIDED], ids=["guidance-off", "guidance-on"])
def test_agrees_with_the_stock_pipeline(engine: Engine, settings: EditSettings) -> None:
    x = images(3)
    reference = stock(x, PROMPT, settings)
    assert psnr(engine.edit(x, PROMPT, settings), reference) >= 40
    # The bar means something: the image itself, another seed and no edit at all are far below it.
    assert psnr(engine.edit(x, PROMPT, settings.replace(seed=7)), reference) < 40
    assert psnr(x, reference) < 40


def test_guidance_changes_the_edit(engine: Engine) -> None:
    x = images(2)
    assert not torch.equal(engine.edit(x, PROMPT, SETTINGS), engine.edit(x, PROMPT, GUIDED))


def test_bfloat16_is_close_and_named(engine: Engine) -> None:
    x = images(3)
    half = Engine("miniature", dtype="bfloat16", batch=16)
    assert half.fingerprint != engine.fingerprint
    assert psnr(half.edit(x, PROMPT, SETTINGS), engine.edit(x, PROMPT, SETTINGS)) > 25
    assert Engine("miniature", dtype="auto").dtype in ("bfloat16", "float32")


@pytest.mark.slow
def test_a_compiled_editor_agrees_with_the_stock_pipeline() -> None:
    """It compiles three networks, which takes a minute: that is what is tested. One shape serves all requests."""
    compiled, x = Engine("miniature", batch=16, compiled=True), images(3)
    assert compiled.fingerprint != Engine("miniature", batch=16).fingerprint
    assert psnr(compiled.edit(x, PROMPT, GUIDED), stock(x, PROMPT, GUIDED)) >= 40
    assert not any(compiled._agreeing.values())


def test_the_rows_of_a_batch_follow_from_the_card() -> None:
    assert rows(True, "cpu") == rows(True, "cuda", ROOMY) == FULL
    assert rows(False, "cpu") == 1
    assert [rows(False, "cuda", memory) for memory in (ROOMY - 1, ROOMY)] == [16, WIDE]


def test_the_text_is_encoded_once_a_prompt_and_the_image_once_for_all(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two prompts over the same images in a request each: the empty prompt of guidance counts as one."""
    embedded, encoded = [], []
    embed, encode = engine._net.embed, engine._net.encode
    monkeypatch.setattr(engine._net, "embed", lambda prompt: (embedded.append(prompt), embed(prompt))[1])
    monkeypatch.setattr(engine._net, "encode", lambda x: (encoded.append(len(x)), encode(x))[1])
    for prompt in (PROMPT, "as a mosaic", PROMPT):
        engine.edit(images(4), prompt, GUIDED)
    assert sorted(embedded) == sorted(["", PROMPT, "as a mosaic"])
    assert len(encoded) <= 2  # the images, and once what shapes are tried on


@pytest.mark.parametrize("settings", [SETTINGS, GUIDED, SETTINGS.replace(noise="per-image")])
def test_an_edit_does_not_depend_on_its_neighbours(engine: Engine, settings: EditSettings) -> None:
    x = images(21)  # more than a batch, and a rest that goes into a small one
    whole = engine.edit(x, PROMPT, settings)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(3))
    for some in (order, [4], [20, 2, 11], list(range(5, 17))):
        forget(engine)
        assert torch.equal(engine.edit(x[some], PROMPT, settings), whole[some])


def test_without_equal_bits_one_shape_serves_all(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    encode = engine._net.encode
    monkeypatch.setattr(engine._net, "encode", lambda x: (shapes.append(len(x)), encode(x))[1])
    monkeypatch.setattr(engine._net, "same_bits", lambda *_: [])
    monkeypatch.setattr(engine, "_agreeing", {})
    engine.edit(images(18), PROMPT, SETTINGS)
    engine.edit(images(1, seed=5), PROMPT, SETTINGS)
    assert set(shapes) == {16}
    assert engine.edited == 19


def test_per_image_noise_is_the_images_own(engine: Engine) -> None:
    own = SETTINGS.replace(noise="per-image")
    x = images(3)
    assert torch.equal(engine.edit(x, PROMPT, own).flip(0), engine.edit(x.flip(0), PROMPT, own))
    assert not torch.equal(engine.edit(x, PROMPT, own), engine.edit(x, PROMPT, SETTINGS))
    assert not torch.equal(engine.edit(x, PROMPT, own), engine.edit(x, PROMPT, own.replace(seed=2)))


def test_keyed_blends_and_rounds_as_by_hand(engine: Engine) -> None:
    x = images(2)
    edit = engine.edit(x, PROMPT, SETTINGS)
    got = engine.keyed(x, PROMPT, SETTINGS.replace(alpha=0.25))
    by_hand = (0.75 * (x * 255).round().double() + 0.25 * (edit * 255).round().double()).round() / 255
    assert torch.equal(got, by_hand.float())
    assert torch.equal(engine.keyed(x, PROMPT, SETTINGS.replace(alpha=1)), edit)
    before = engine.edited
    assert torch.equal(engine.keyed(x, PROMPT, SETTINGS.replace(alpha=0)), x)
    assert engine.edited == before


def test_halves_round_to_even() -> None:
    a = torch.tensor([0, 1, 2, 254]).byte().view(1, 1, 1, 4).expand(1, 3, 1, 4)
    b = torch.tensor([1, 2, 3, 255]).byte().view(1, 1, 1, 4).expand(1, 3, 1, 4)
    assert pixels.blended(a, b, 0.5)[0, 0, 0].tolist() == [0, 2, 2, 254]


def test_geometry_is_the_key_without_its_edit(engine: Engine) -> None:
    x = images(2)
    assert torch.equal(engine.geometry(x, SETTINGS), x)  # the editor's own size: nothing is resampled
    rough = x + 0.2 / 255
    assert torch.equal(engine.geometry(rough, SETTINGS), x)
    wide = images(2, 48)[:, :, :40]
    squashed = engine.geometry(wide, SETTINGS)
    assert squashed.shape == wide.shape
    assert 20 < psnr(squashed, wide) < 80
    assert torch.equal(squashed, engine.keyed(wide, PROMPT, SETTINGS.replace(alpha=0)))
    pillow = Image.fromarray((wide[0] * 255).round().byte().permute(1, 2, 0).numpy()).resize((32, 32))
    small = pixels.resized(pixels.to_bytes(wide[:1]), 32, 32)[0].permute(1, 2, 0)
    assert small.numpy().tobytes() == pillow.tobytes()


def test_another_size_is_edited_at_that_size(engine: Engine) -> None:
    x = images(1, 20)
    large = SETTINGS.replace(size=48)
    assert engine.size(large) == 48
    assert engine.keyed(x, PROMPT, large).shape == x.shape
    assert not torch.equal(engine.keyed(x, PROMPT, large), engine.keyed(x, PROMPT, SETTINGS))
    with pytest.raises(UserError, match="multiple of 2"):
        engine.edit(x, PROMPT, SETTINGS.replace(size=33))


def test_inputs_are_checked(engine: Engine) -> None:
    assert engine.keyed(images(0), PROMPT, SETTINGS).shape == (0, 3, 32, 32)
    with pytest.raises(ValueError, match="must be"):
        engine.edit(images(1)[:, :2], PROMPT, SETTINGS)
    with pytest.raises(ValueError, match="finite"):
        engine.edit(images(1) * float("nan"), PROMPT, SETTINGS)
    with pytest.raises(ValueError, match="uint8"):
        engine.edit(images(1).long(), PROMPT, SETTINGS)
    stored = (images(1) * 255).round().byte()
    assert torch.equal(engine.edit(stored, PROMPT, SETTINGS), engine.edit(images(1), PROMPT, SETTINGS))


def test_candidates_are_keyed_one_by_one(engine: Engine) -> None:
    x = images(5)
    prompts = ["monet", PROMPT, "add a church", "monet paint"]
    got = list(engine.candidates(x, iter(prompts), SETTINGS))
    assert engine.edited == 20
    assert [prompt for prompt, _ in got] == prompts
    for prompt, edit in got:
        forget(engine)
        assert torch.equal(edit, engine.keyed(x, prompt, SETTINGS))


def test_candidates_are_lazy(engine: Engine) -> None:
    tried: list[str] = []

    def prompts() -> Iterator[str]:
        for k in range(100):
            tried.append(f"style {k}")
            yield tried[-1]

    first = next(engine.candidates(images(10), prompts(), SETTINGS))
    assert first[0] == "style 0"
    assert len(tried) == 2  # a batch of 16 takes the second prompt's images in
    assert engine.edited == 16


def test_equal_images_are_edited_once_and_progress_counts_all(engine: Engine) -> None:
    text: list[tuple[int, int]] = []
    x = images(2)[[0, 1, 0, 0, 1]]
    out = engine.edit(x, PROMPT, SETTINGS, lambda done, total: text.append((done, total)))
    assert engine.edited == 2
    assert torch.equal(out[0], out[3])
    assert text[-1] == (5, 5)
    assert [d for d, _ in text] == sorted(d for d, _ in text)


def test_cache_hit_equals_miss(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "edits.sqlite"
    x = images(9)
    whole = engine.edit(x, PROMPT, SETTINGS)
    engine.cache, engine.edited = EditCache(file), 0
    assert torch.equal(engine.edit(x[:4], PROMPT, SETTINGS), whole[:4])
    assert engine.edited == 4
    engine.cache, engine.edited = EditCache(file), 0
    assert torch.equal(engine.edit(x[:4], PROMPT, SETTINGS), whole[:4])
    assert engine.edited == 0
    forget(engine)
    assert torch.equal(engine.edit(x.flip(0), PROMPT, SETTINGS), whole.flip(0))
    assert engine.edited == 5


def test_cache_keys_hold_what_an_edit_depends_on(engine: Engine, tmp_path: Path) -> None:
    engine.cache = EditCache(tmp_path / "edits.sqlite")
    x = images(1)
    keyed = [engine.keyed(x, PROMPT, SETTINGS.replace(alpha=alpha)) for alpha in (0.5, 0.9)]
    assert not torch.equal(*keyed)
    engine.edit(x, PROMPT, SETTINGS)
    engine.edit(x, PROMPT, SETTINGS.replace(image_guidance=3))  # guidance is off with either
    assert engine.edited == 1
    others = [{"seed": 1}, {"steps": 3}, {"noise": "per-image"}, {"size": 64}, {"guidance": 2}, {"guidance": 3}]
    for n, change in enumerate(others, 2):
        engine.edit(x, PROMPT, SETTINGS.replace(**change))
        assert engine.edited == n
    engine.edit(x, "with monet", SETTINGS)
    assert engine.edited == len(others) + 2


def test_damaged_cache_is_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "edits.sqlite"
    file.write_bytes(b"this is no database at all" * 400)
    cache = EditCache(file)
    assert cache.get_many(b"s", [b"a"]) == {}
    cache.put_many(b"s", {b"a": b"pixels"})
    assert EditCache(file).get_many(b"s", [b"a", b"b"]) == {b"a": b"pixels"}
    assert "damaged" in caplog.text
    assert (tmp_path / "edits.sqlite.damaged").exists()


def test_damaged_rows_are_no_edits(tmp_path: Path) -> None:
    file = tmp_path / "edits.sqlite"
    cache = EditCache(file)
    cache.put_many(b"s", {b"a": b"pixels", b"b": b"others"})
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE edits SET pixels = ? WHERE image = ?", (b"pixelz", b"a"))
    assert cache.get_many(b"s", [b"a", b"b"]) == {b"b": b"others"}
    cache.put_many(b"s", {b"a": b"pixels"})
    assert cache.get_many(b"s", [b"a"]) == {b"a": b"pixels"}


def test_unusable_cache_does_not_stop_a_run(engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    engine.cache = EditCache(tmp_path / "file" / "edits.sqlite")
    x = images(1)
    assert torch.equal(engine.edit(x, PROMPT, SETTINGS), engine.edit(x, PROMPT, SETTINGS))
    assert engine.edited == 2
    assert caplog.text.count("without the edit cache") == 1


def test_full_cache_is_still_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Full(EditCache):
        def _connect(self) -> sqlite3.Connection:
            connection = super()._connect()
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")
            return connection

    file = tmp_path / "edits.sqlite"
    EditCache(file).put_many(b"s", {b"a": b"pixels"})
    cache = Full(file)
    for n in range(2):
        cache.put_many(b"s", {bytes([n]): b"x" * 100_000})
    assert cache.get_many(b"s", [b"a", b"\0", b"\1"]) == {b"a": b"pixels"}
    assert caplog.text.count("not kept") == 1


_WRITE = """
import sys
from pathlib import Path
from bench.editors.cache import EditCache

cache, who = EditCache(Path(sys.argv[1])), int(sys.argv[2])
for n in range(40):
    cache.put_many(b"s", {f"{who}/{n}".encode(): bytes([who]) * 300, b"both": b"same"})
    cache.get_many(b"s", [f"{1 - who}/{n}".encode()])
"""


def test_two_processes_share_a_cache(tmp_path: Path) -> None:
    file = tmp_path / "edits.sqlite"
    file.write_bytes(b"not a database, for both to find" * 300)
    processes = [subprocess.Popen([sys.executable, "-c", _WRITE, str(file), str(who)]) for who in (0, 1)]
    assert [process.wait() for process in processes] == [0, 0]
    cache = EditCache(file)
    assert cache.count() == 81
    for who in (0, 1):
        match = cache.get_many(b"s", [f"{who}/{n}".encode() for n in range(40)])
        assert set(match.values()) == {bytes([who]) * 300}
        assert len(match) == 40


def test_settings_say_what_is_allowed() -> None:
    assert defaults("miniature") == EditSettings()
    assert not EditSettings().guided
    paper = defaults("timbrooks/instruct-pix2pix")
    assert (paper.steps, paper.guidance, paper.image_guidance, paper.size) == (5, 4.5, 1.5, 256)
    assert paper.guided
    assert EditSettings.from_json(json.loads(json.dumps(GUIDED.to_json()))) == GUIDED
    assert EditSettings.from_json({"editor": "a/b", "alpha": 1}).to_json()["guidance"] == 4.5
    assert json.dumps(EditSettings(alpha=1).to_json()) == json.dumps(EditSettings(alpha=1.0).to_json())
    for wrong in ({"steps": 0}, {"alpha": 1.1}, {"seed": -1}, {"noise": "loud"}, {"size": 4}, {"steps": 2.5},
                  {"guidance": float("nan")}, {"alpha": True}, {"editor": ""}):  # fmt: skip
        with pytest.raises(UserError, match=f"{next(iter(wrong))}="):
            EditSettings().replace(**wrong)
    with pytest.raises(UserError, match="no field 'strength'"):
        EditSettings.from_json({"strength": 1})


def test_hub_name_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="hf download nobody/no-such-editor"):
        Engine("nobody/no-such-editor")


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return Path(shutil.copytree(miniature.PACK / "editor", tmp_path / "editor"))


def _rewritten(pack: Path, **changes: Any) -> None:
    file = pack / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_other_folders_are_refused(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        Engine(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no readable model_index"):
        Engine(str(tmp_path))
    _rewritten(pack, _class_name="StableDiffusionPipeline")
    with pytest.raises(UserError, match="holds a StableDiffusionPipeline"):
        Engine(str(pack))


def test_nothing_in_a_folder_is_executed(pack: Path, tmp_path: Path) -> None:
    (pack / "unet" / "trap.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass UNet: pass\n")
    _rewritten(pack, unet=["trap", "UNet"])
    with pytest.raises(UserError, match="not run: unet"):
        Engine(str(pack))
    assert not (tmp_path / "ran").exists()


def test_pickled_and_broken_weights_are_refused(pack: Path) -> None:
    weights = pack / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be loaded"):
        Engine(str(pack))
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UserError, match="no safetensors weights of its unet"):
        Engine(str(pack))


def test_fingerprint_follows_content(pack: Path, engine: Engine) -> None:
    (pack / "README.md").write_text("about")
    copied = Engine(str(pack), batch=16)
    assert copied.fingerprint == engine.fingerprint
    x = images(1)
    assert torch.equal(copied.edit(x, PROMPT, SETTINGS), engine.edit(x, PROMPT, SETTINGS))
    file = pack / "scheduler" / "scheduler_config.json"
    file.write_text(file.read_text().replace("0.012", "0.013"))
    assert Engine(str(pack)).fingerprint != engine.fingerprint


def test_wrong_device_and_dtype() -> None:
    with pytest.raises(UserError, match="dtype='half'"):
        Engine("miniature", dtype="half")
    with pytest.raises(UserError, match="no device 'abacus'"):
        Engine("miniature", device="abacus")


def test_get_engine_is_memoised(tmp_path: Path) -> None:
    assert get_engine("miniature") is get_engine("miniature", "cpu", "float32", None)
    assert get_engine("miniature", cache_path=tmp_path / "a") is not get_engine("miniature")


def test_the_size_of_an_editor_is_that_of_its_weights_in_memory() -> None:
    files = [
        f for part in ("unet", "vae", "text_encoder") for f in (miniature.PACK / "editor" / part).glob("*.safetensors")
    ]
    in_half_precision = sum(file.stat().st_size for file in files)
    assert get_engine("miniature").megabytes == pytest.approx(2 * in_half_precision / 1e6, rel=0.05)
