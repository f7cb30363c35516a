"""What can be known of a plan before anything is trained: data, models, editors, files. No torch here for what comes
with the package."""

from __future__ import annotations

from collections.abc import Sequence

from bench import assets, datasets, public_weights, registry
from bench.checkpoints import factories, weights
from bench.checkpoints.forms import check_form
from bench.checkpoints.model_names import ModelName, check_kind, parse
from bench.editors.loading import check_available
from bench.errors import UserError
from bench.language import endpoint
from bench.paths import user_path
from bench.plan.kinds import check_pair
from bench.records import Cell, PluginRef


def check(cells: Sequence[Cell]) -> None:
    """Whether ``cells`` can run, as far as it can be known without plugin code or training.

    Raises:
        UserError: a folder that cannot serve, an unknown model, one that cannot take images of the size or is for
            tasks of another kind, missing weights, an editor that is not here and cannot be fetched, or a file that
            is none.
    """
    tasks = {(cell.scenario, *sorted(cell.data_settings.items())): cell for cell in cells}
    for cell in tasks.values():
        check_pair(cell.scenario)
        datasets.check_data(cell.scenario, cell.data_settings)
    for model, task in dict.fromkeys((cell.model, cell.scenario) for cell in cells):
        check_kind(model, datasets.kind(task))
    for model, size in dict.fromkeys((cell.model, cell.size) for cell in cells):
        check_model(model, size)
    for kind, ref in _plugins(cells):
        info = registry.current().find(kind, ref.name)
        assets.check(info)
        if info.asks_language_model(ref.params):
            check_language_model(kind, ref)
        for name in info.files:
            check_file(f"{kind}.{name}", str(ref.params[name]), weights=info.role == "given")
    for editor in dict.fromkeys(cell.editor for cell in cells if "editor" in cell.key.params):
        check_available(editor)
    for clip in dict.fromkeys(clip for cell in cells for clip in public_weights.clips_of(cell)):
        check_clip(clip)


def _plugins(cells: Sequence[Cell]) -> list[tuple[str, PluginRef]]:
    out: dict[str, tuple[str, PluginRef]] = {}
    for cell in cells:
        for kind, ref in (("lock", cell.lock), ("key", cell.key), ("attack", cell.attack)):
            out.setdefault(f"{kind} {ref.name} {ref.explicit}", (kind, ref))
    return list(out.values())


def check_model(model: str, size: int) -> None:
    """Whether the architecture ``model`` is known, can take images of ``size`` pixels and has its public weights.

    Raises:
        UserError: it is not, or cannot, or has not.
    """
    parsed = parse(model)
    info = registry.current().get("model", parsed.base)
    if info is not None:
        assets.check(info)
    if info is not None and not parsed.segments and not parsed.weights:
        return
    if parsed.weights and info is not None and info.guest:
        raise UserError(f"the model '{parsed.source or parsed.name}' takes no --weights.", "Leave them out.")
    if parsed.is_factory:
        factories.find(parsed.name)
    if parsed.weights and parsed.segments:
        weights.encoder_file(parsed)
    else:
        weights.file_of(parsed)
    needed = public_weights.needs(model)
    if parsed.weights and not parsed.is_factory and all(need.here for need in needed):
        _check_fit(model, size)
    is_known = parsed.source != "hf-hub" or needed[0].here  # the first is the configuration
    if is_known:
        from bench import models
        from bench.forward_cost import multiply_adds

        models.check(model)
        multiply_adds(model, size)
    public_weights.check(needed, _instead(model, parsed))


def check_clip(clip: str) -> None:
    """Whether the CLIP ``clip`` is one: that of the pack, a folder, or a model of open_clip.

    Raises:
        UserError: it is not, or its weights are neither here nor on the hub.
    """
    if clip == assets.MINIATURE:
        return
    if not user_path(clip).is_dir():
        public_weights.check(
            public_weights.clip_needs(clip), f"the CLIP of the miniature pack: clip={assets.MINIATURE}"
        )
        return
    from bench.miniature.clip import check_folder

    check_folder(user_path(clip))


def _instead(model: str, parsed: ModelName) -> str:
    """What can be used where public weights cannot be had."""
    if parsed.has_decoder:
        return f"--model {parsed.source}:cnn, or --model '{model}?start=random'"
    return "" if parsed.source or parsed.weights else "--model vit"


def _check_fit(model: str, size: int) -> None:
    """Whether the public weights that ``model`` names, and that are here, fit it.

    Raises:
        UserError: they do not.
    """
    from bench import models
    from bench.contracts import Spec

    models.build(model, Spec(size, ("one", "other"), "segmentation" if parse(model).segments else "classification"))


def check_language_model(kind: str, ref: PluginRef) -> None:
    """Whether a language model is named, and the endpoint well set where it is set: replies may be in the store.

    Raises:
        UserError: it is not.
    """
    endpoint.from_environment()
    if not (ref.params.get("language_model") or endpoint.model_from_environment()):
        raise UserError(
            f"{kind} '{ref.name}' asks a language model, and none is named.",
            f"Set {endpoint.MODEL} and {endpoint.URL}, or give -p {kind}.language_model=NAME.",
        )


def check_file(parameter: str, value: str, weights: bool) -> None:
    """Whether ``value`` names a file that can be read; ``weights``: one of the forms that a checkpoint has.

    Raises:
        UserError: it does not.
    """
    remedy = f"Give one: -p {parameter}=PATH"
    if not value:
        raise UserError(f"{parameter}: it names no file.", remedy)
    path = user_path(value)
    if not path.is_file():
        raise UserError(f"{parameter}: there is no file {path}.", remedy)
    try:
        with path.open("rb") as stream:
            stream.read(1)
        if weights:
            check_form(path)
    except OSError as error:
        raise UserError(f"{parameter}: {path} cannot be read: {error.strerror or error}.", remedy) from None
