"""Compose model, architecture and overrides into a RunConfig, with the source of each value.

Order, later wins: schema defaults < cfg_pretrain.yaml < arch/NAME.yaml < models/NAME.yaml < overrides. Every problem of
every file is reported at once; nothing after the first pass looks at a file again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trm_cli.addresses import is_address, local_location
from trm_cli.config import registry
from trm_cli.config.dataset_args import override_dataset_args, read_dataset_args
from trm_cli.config.registry import RegistryEntry
from trm_cli.config.schema import RunConfig
from trm_cli.config.sources.interpolation import resolve_references
from trm_cli.config.sources.layers import Layer, Tree
from trm_cli.config.sources.overrides import Override, parse_overrides
from trm_cli.config.sources.scalars import describe
from trm_cli.config.sources.yaml_loader import Document, Key, parse_yaml
from trm_cli.config.validate import fill_defaults, validate
from trm_cli.errors import ConfigError, Problem, UsageError
from trm_cli.paths import is_dir, is_file

_BUILDER = "dataset_args"  # the group of keys that are flags of the dataset builder


@dataclass(frozen=True)
class Resolved:
    """A configuration, the model it came from, and the source of each value.

    sources: "arch.hidden_size" -> "configs/arch/trm.yaml:12" | "override 2" | "default".
    overrides: the `key=value` words as they were typed, to be repeated in the printed command.
    addresses: {folder of the copy on this machine: address}, of datasets that were named by an address.
    """

    config: RunConfig
    registry: RegistryEntry | None
    sources: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)

    @property
    def changes_dataset(self) -> bool:
        """Return whether the command line has settings of the dataset builder."""
        return any(word.removeprefix("+").startswith(f"{_BUILDER}.") for word in self.overrides)


def default_run_directory(architecture: str) -> str:
    """Return the run directory of an architecture where none is configured."""
    return f"checkpoints/{architecture.replace('_', '-')}"


def compose(model: str | None = None, overrides: Sequence[str] = (), *, config: str | None = None) -> Resolved:
    """Resolve a model (a name, or the path of a YAML file) with overrides. Raises ConfigError with every problem.

    config: a file of defaults that stands in for the model's own `config:`.
    """
    composer = _Composer(overrides, config)
    resolved = composer.run(model)
    if resolved is None:
        raise ConfigError(_as_typed(composer.problems, overrides))
    return resolved


def load_run_config(path: Path | str, overrides: Sequence[str] = ()) -> Resolved:
    """Read the resolved `config.yaml` of a run (or of the directory that holds it), by the schema alone."""
    path = Path(path)
    path = path / "config.yaml" if is_dir(path) else path
    if not is_file(path):
        raise UsageError(f"{registry.shown(path)} does not exist", hint="name a run directory or its config.yaml")
    return _of_run(registry.load(path), overrides)


def read_run_config(text: str, name: str, overrides: Sequence[str] = ()) -> Resolved:
    """Read the configuration that a checkpoint holds as text, called `name` in messages. Raises ConfigError."""
    return _of_run(parse_yaml(text, name), overrides)


def _of_run(document: Document, overrides: Sequence[str]) -> Resolved:
    words, problems = parse_overrides(overrides)
    problems += document.problems
    tree = Tree()
    tree.add(Layer.of_document(document, "run"))
    tree.add(Layer.of_overrides(words))
    fill_defaults(tree)
    config, found = validate(tree)
    if config is None or problems or found:
        raise ConfigError(_as_typed([*problems, *found], overrides))
    config, addresses = _on_this_machine(config)
    return Resolved(config, None, tree.sources(), tuple(overrides), addresses)


def _on_this_machine(config: RunConfig) -> tuple[RunConfig, dict[str, str]]:
    """Put the folders of their copies in the place of addresses of datasets."""
    keys = ("data_paths", "data_paths_test")
    named = [path for key in keys for path in getattr(config, key) if is_address(path)]
    local = {key: tuple(map(local_location, getattr(config, key))) for key in keys}
    return config.model_copy(update=local) if named else config, {local_location(path): path for path in named}


_PLACE = re.compile(r"(.*?):(\d+):(\d+)$")


def sorted_problems(problems: Sequence[Problem]) -> list[Problem]:
    """Sort problems without duplicates: files first, by line; then overrides, by number."""

    def order(problem: Problem) -> tuple[int, str, int, int]:
        if place := _PLACE.match(problem.where):
            return 0, place[1], int(place[2]), int(place[3])
        number = problem.where.rpartition(" ")[2]
        return 1, "", int(number) if number.isdigit() else 0, 0

    return sorted(dict.fromkeys(problems), key=order)


def _as_typed(problems: Sequence[Problem], words: Sequence[str]) -> list[Problem]:
    """Sort problems, and name the place of an override by the word as it was typed."""
    typed = {f"override {number}": getattr(word, "typed", word) for number, word in enumerate(words, start=1)}
    return [
        replace(
            problem,
            where=typed.get(problem.where, problem.where),
            message=re.sub(r"override \d+", lambda found: str(typed.get(found[0], found[0])), problem.message),
        )
        for problem in sorted_problems(problems)
    ]


class _Composer:
    """Resolves one configuration: gathers layers and problems, then validates by the schema."""

    def __init__(self, words: Sequence[str], config: str | None) -> None:
        self.words = tuple(words)
        self.config = config
        overrides, self.problems = parse_overrides(words)
        self.overrides = [override for override in overrides if override.key[0] != _BUILDER]
        self.builder_overrides = [override for override in overrides if override.key[0] == _BUILDER]
        output_dir = next((o for o in reversed(self.builder_overrides) if o.key[1:] == ("output_dir",)), None)
        if output_dir is not None and self._last(("data_paths",)) is None:  # what is built is what is read
            self.overrides.append(replace(output_dir, key=("data_paths",), value=[output_dir.value]))
        self.tree = Tree()

    def run(self, model: str | None) -> Resolved | None:
        """Return the resolved configuration, or None when there are problems."""
        named = self._last(("model",))
        if model is None and named is not None:
            model, model_where = str(named.value), named.where
        else:
            model_where = "MODEL"
            if named is not None and named.value != model:
                message = f"`{named.text}` names another model than `{model}`"
                self.problems.append(Problem(named.where, message, key="model"))
        entry_document = self._open("models", model, model_where) if model is not None else None
        config_name, config_where = registry.DEFAULT_CONFIG, "cfg_pretrain"
        if entry_document is not None and isinstance(entry_document.data.get("config"), str):
            config_name, config_where = entry_document.data["config"], entry_document.where(("config",))
        base = self._open("", self.config or config_name, config_where)
        if model is None:
            model = base.data.get("model") if base else None
            if isinstance(model, str) and base is not None:
                entry_document = self._open("models", model, base.where(("model",)))
        return self._resolve(model, base, entry_document)

    def _resolve(self, model: Any, base: Document | None, document: Document | None) -> Resolved | None:
        if document is None:
            model = None  # not found, and reported: nothing is to be said about its name
        base = base or Document("cfg_pretrain")
        document = document or Document("model")
        base_layer = Layer.of_document(base, "config", without=("arch", "model"))
        own, own_where = self._architecture_of_files(base, document)
        swap = self._last(("arch",), str)
        architecture, where = (swap.value, swap.where) if swap else (own, own_where)
        self.tree.add(base_layer)
        if architecture is not None:
            arch_document = self._open("arch", architecture, where, "arch")
            if arch_document is not None:
                name = Path(architecture).stem
                self.tree.add(Layer.of_architecture(arch_document, name, where))
        entry = self._entry(model, document)
        self._add_model(model, base, document, entry, same_architecture=architecture == own)
        self._add_run_directory(base, document, own, own_where, architecture, where)
        self.tree.add(Layer.of_overrides([o for o in self.overrides if o is not swap and o.key != ("model",)]))
        return self._finish(entry)

    def _finish(self, entry: RegistryEntry | None) -> Resolved | None:
        fill_defaults(self.tree)
        if entry is not None:
            self.tree.values["dataset_args"] = entry.dataset_args
        self.tree.values, unresolved = resolve_references(self.tree.values, self.tree.where)
        self.problems += unresolved
        dataset_args = self.tree.values.pop("dataset_args", None)
        config, found = validate(self.tree, quiet_about_missing=bool(self.problems))
        reported = {problem.key for problem in unresolved}
        self.problems += [problem for problem in found if problem.key not in reported]
        if config is None or self.problems:
            return None
        if entry is not None:
            if len(config.data_paths) == 1:  # paths have one source: what is read is what is built
                dataset_args = {**dataset_args, "output_dir": config.data_paths[0]}
            entry = replace(
                entry,
                architecture=config.arch.name,
                dataset_args=dataset_args,
                checkpoint_path=config.checkpoint_path,
            )
        config, addresses = _on_this_machine(config)
        return Resolved(config, entry, self.tree.sources(), self.words, addresses)

    def _architecture_of_files(self, base: Document, document: Document) -> tuple[str | None, str]:
        for source, key in ((document, "architecture"), (base, "arch")):
            value = source.data.get(key)
            if isinstance(value, str) and value:
                return value, source.where((key,))
            if value is not None and source is base:
                message = f"`arch` must be the name of an architecture, found {describe(value)}"
                self.problems.append(Problem(base.where(("arch",)), message, key="arch"))
        return None, ""

    def _entry(self, model: Any, document: Document) -> RegistryEntry | None:
        if not document.data:
            return None
        found = registry.check_entry(document)
        dataset_args = {}
        if "dataset_args" in document.data:
            dataset_args = read_dataset_args(document, found)
        dataset_args = override_dataset_args(dataset_args, self.builder_overrides, found)
        self.problems += found
        if found:
            return None
        data = document.data
        name = Path(str(model)).stem
        if any(key not in data for key in ("architecture", "dataset_builder")) or "output_dir" not in dataset_args:
            return None  # they could not be read, and the loader has said so
        return RegistryEntry(
            name=name,
            title=data.get("title", name),
            config=data.get("config", registry.DEFAULT_CONFIG),
            architecture=data["architecture"],
            dataset_builder=data["dataset_builder"],
            dataset_args=dataset_args,
            checkpoint_path=data.get("checkpoint_path") or default_run_directory(data["architecture"]),
            overrides=data.get("overrides") or {},
            path=document.name,
            places={name: document.where((_BUILDER, name)).rpartition(":")[0] for name in dataset_args}
            | {".".join(override.key[1:]): override.text for override in self.builder_overrides},
        )

    def _add_model(
        self, model: Any, base: Document, document: Document, entry: RegistryEntry | None, *, same_architecture: bool
    ) -> None:
        """Add the values of the model's file to the tree."""
        where = document.where(()) if document.data else base.where(("model",))
        if model is not None:
            self.tree.add(Layer("model", {"model": Path(str(model)).stem}, lambda _: where))
        if entry is not None:
            place = document.where(("dataset_args", "output_dir"))
            self.tree.add(Layer("model", {"data_paths": [entry.dataset_args["output_dir"]]}, lambda _: place))
        overrides = document.data.get("overrides")
        if not isinstance(overrides, dict):
            return
        layer = Layer.of_document(document, "model", below=("overrides",))
        for key, advice in (
            ("model", "a model cannot rename itself"),
            ("data_paths", "it is `dataset_args: output_dir`"),
            ("checkpoint_path", "write it at the top level of this file"),
        ):
            if layer.values.pop(key, None) is not None:
                message = f"`{key}` has no place below `overrides`: {advice}"
                self.problems.append(Problem(layer.where((key,)), message, key=key))
        if isinstance(layer.values.get("arch"), str):
            message = "`arch` below `overrides` must be a mapping; `architecture:` names the architecture of a model"
            self.problems.append(Problem(layer.where(("arch",)), message, key="arch"))
            del layer.values["arch"]
        elif not same_architecture:
            layer.values.pop("arch", None)  # they were chosen for the architecture that has just been swapped out
        self.tree.add(layer)

    def _add_run_directory(
        self, base: Document, document: Document, own: str | None, own_where: str, architecture: str | None, where: str
    ) -> None:
        """Add the run directory; another architecture gets another one, so that two never share it."""
        if own is None or architecture is None:
            return
        usual = default_run_directory(Path(own).stem)
        path, place = usual, own_where
        if isinstance(document.data.get("checkpoint_path"), str):
            path, place = document.data["checkpoint_path"], document.where(("checkpoint_path",))
        elif base.data.get("arch") == own and isinstance(base.data.get("checkpoint_path"), str):
            path, place = base.data["checkpoint_path"], base.where(("checkpoint_path",))
        if architecture != own:
            moved = default_run_directory(Path(architecture).stem)
            path, place = (moved if path == usual else f"{path}-{moved.removeprefix('checkpoints/')}"), where
        self.tree.add(Layer("model", {"checkpoint_path": path}, lambda _: place))

    def _open(self, kind: str, name: Any, where: str, key: str = "") -> Document | None:
        path = registry.find(kind, name) if isinstance(name, str) else None
        if path is None:
            self.problems.append(registry.not_found(kind, str(name), where, key))
            return None
        document = registry.load(path)
        self.problems += document.problems
        return document

    def _last(self, key: Key, kind: type = object) -> Override | None:
        found = [override for override in self.overrides if override.key == key and isinstance(override.value, kind)]
        return found[-1] if found else None
