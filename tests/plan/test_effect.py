"""What is recorded as set has an effect, or is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import plan, registry, seeds
from bench.errors import UserError
from bench.keys import _secret
from bench.keys.blockwise import BlockwiseKey
from bench.records import Cell
from bench.store import Store, identity
from bench.store.settings import PLAN, Settings


def _cell(lock: str = "modellock", attack: str = "finetune", **params: object) -> Cell:
    names = {name.replace("__", "."): value for name, value in params.items()}
    return plan.make_cell(lock, attack, "digits", "cnn", names)


def test_a_prompt_that_is_given_is_the_prompt_that_is_used() -> None:
    cell = _cell(key__prompt="with rain")
    assert cell.key.explicit == {"prompt": "with rain", "key_choice": "fixed"}
    with pytest.raises(UserError, match=r"key\.prompt has no effect with key\.key_choice=drawn"):
        _cell(key__prompt="with rain", key__key_choice="drawn")
    with pytest.raises(UserError, match=r"key\.candidates has no effect with key\.key_choice=fixed"):
        _cell(key__candidates="wide", key__key_choice="fixed")
    with pytest.raises(UserError, match=r"key\.relatedness has no effect with key\.key_choice=fixed"):
        _cell(key__relatedness="most", key__key_choice="fixed")
    assert _cell(key__relatedness="any").key.explicit == {"relatedness": "any"}, "a key is drawn by default"


def test_every_parameter_under_a_condition_is_implied_or_refused_without_it() -> None:
    """Over every plugin: none may be recorded as set where it decides nothing."""
    seen = 0
    for kind in registry.KINDS:
        for info in registry.INSTALLED.all(kind).values():
            for name, param in info.params.items():
                for other, values in param.where.items():
                    seen += 1
                    default = info.params[other].default
                    got = registry.with_implied(info, {name: param.default}) if len(values) == 1 else None
                    assert got is None or got.get(other, default) in values
                    for wrong in set(info.params[other].choices or ()) - set(values):
                        with pytest.raises(UserError, match="has no effect"):
                            registry.with_implied(info, {name: param.default, other: wrong})
    assert seen > 15


def test_a_lock_made_elsewhere_needs_its_own_key(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"")
    for key, own in (("edit", "prompt"), ("blockwise", "secret"), ("patch", "value")):
        with pytest.raises(UserError, match=f"a {key} key drawn here is not its key"):
            _cell("given", lock__key=key, lock__file=str(file))
        value = {"prompt": "with rain", "secret": "ab" * 32, "value": 40}[own]
        cell = _cell("given", lock__key=key, lock__file=str(file), **{f"key__{own}": value})
        assert cell.key.params[own] == value


def test_keys_follow_from_the_entropy_that_the_store_keeps(tmp_path: Path) -> None:
    """By default no plan tells them; `plan` makes the same keys in every store."""
    cell = plan.make_cell("none", "none", "digits", "cnn", {"lock.key": "blockwise"})
    one, two = Store(tmp_path / "one", entropy=None), Store(tmp_path / "two", entropy=None)
    assert len({one.entropy, two.entropy, PLAN}) == 3
    assert Store(tmp_path / "one", write=False).entropy == one.entropy
    drawn = [identity.of(cell, Settings(entropy=entropy)) for entropy in (one.entropy, two.entropy, PLAN)]
    assert len({i.seeds["key"] for i in drawn}) == len({i.hashes["key"] for i in drawn}) == 3
    assert len({i.seeds["victim"] for i in drawn}) == 1, "only the key is secret"
    with pytest.raises(UserError, match="other entropy"):
        Store(tmp_path / "one", entropy="another")


def test_a_blockwise_key_is_as_large_as_it_claims() -> None:
    from bench.training import Run

    secrets = [f"{Run(1, entropy=text).secret('key'):0{_secret.BITS // 4}x}" for text in ("a", "b")]
    assert len(set(secrets)) == 2
    assert all(len(secret) == _secret.BITS // 4 for secret in secrets)
    assert BlockwiseKey("shuffle", 4, secrets[0]).bits == pytest.approx(202.9, abs=0.1), "48! orders of a block"
    assert BlockwiseKey("shuffle", 16, secrets[0]).bits == _secret.BITS, "no more than there are secrets"
    assert BlockwiseKey("feistel", 2, secrets[0]).bits == _secret.BITS


def test_a_seed_never_depends_on_what_json_cannot_say() -> None:
    with pytest.raises(TypeError):
        seeds.derive("run", thing=object())
    with pytest.raises(ValueError, match="JSON"):
        seeds.derive("run", thing=float("nan"))
