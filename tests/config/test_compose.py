"""Layers, sources, moves of the run directory, references, the legacy steps, and all problems at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from trm_cli.config import registry, validate
from trm_cli.config.compose import compose, load_run_config
from trm_cli.config.dump import describe_command, dump_config
from trm_cli.config.registry import SHIPPED
from trm_cli.errors import ConfigError, Problem

LINE = (
    "Command: trm train vision-unified arch=multimodal_hesc 'data_paths=[datasets/vision_unified]' "
    "checkpoint_path=checkpoints/multimodal-hesc"
)


def problems_of(model: str | None, *overrides: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        compose(model, overrides)
    return list(caught.value.problems)


def write_model(configs: Path, name: str = "mine", **changes: str) -> None:
    """A small model; `changes` replace or add top-level lines."""
    lines = {
        "title": "Mine",
        "architecture": "trm",
        "dataset_builder": "dataset_builders/sudoku.py",
        "dataset_args": "{output_dir: datasets/mine}",
        **changes,
    }
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    (configs / "models" / f"{name}.yaml").write_text(text, encoding="utf-8")


def test_the_defaults_of_a_run() -> None:
    resolved = compose()
    config = resolved.config
    assert (config.model, config.arch.name, config.arch.family) == ("vision-unified", "multimodal_hesc", "hesc")
    assert config.data_paths == ("datasets/vision_unified",)
    assert (config.global_batch_size, config.epochs, config.eval_interval) == (32, 100, 10)
    assert config.checkpoint_path == "checkpoints/multimodal-hesc"
    assert config.load_checkpoint is None
    assert (config.lr, config.lr_min_ratio, config.lr_warmup_ratio) == (1e-4, 1.0, 0.04)
    assert (config.beta1, config.beta2, config.weight_decay) == (0.9, 0.95, 0.1)
    assert (config.puzzle_emb_lr, config.puzzle_emb_weight_decay) == (1e-2, 0.1)
    assert (config.ema, config.ema_rate, config.seed, config.step_rounding) == (True, 0.999, 0, "per_epoch")
    ratios = (config.expansion_anneal_ratio, config.q_temperature_anneal_ratio, config.dqn_warmup_ratio)
    assert ratios == (0.5, 1.0, 0.1)
    assert resolved.registry is not None
    assert resolved.registry.dataset_builder == "dataset_builders/streaming_builder.py"
    assert describe_command(resolved) == LINE


def test_later_layers_win_and_every_value_knows_its_source() -> None:
    resolved = compose("sudoku-4x4", ["epochs=7", "arch.hidden_size=32", "+epochs=9"])
    assert (resolved.config.epochs, resolved.config.arch.hidden_size, resolved.config.lr) == (9, 32, 1.5e-3)
    sources = resolved.sources
    assert sources["epochs"] == "override 3"
    assert sources["arch.hidden_size"] == "override 2"
    assert sources["lr"].startswith("configs/models/sudoku-4x4.yaml:")
    assert sources["arch.H_cycles"].startswith("configs/arch/trm_quickstart.yaml:")
    assert sources["beta1"].startswith("configs/cfg_pretrain.yaml:")
    text = Path("configs/cfg_pretrain.yaml").read_text(encoding="utf-8").splitlines()
    assert text[int(sources["beta1"].rpartition(":")[2]) - 1].startswith("beta1:")


def test_the_command_line_repeats_the_run() -> None:
    resolved = compose("sudoku-4x4", ["arch=trm", "lr=2e-4", "wandb_project=a b", "epochs=3"])
    command = describe_command(resolved)
    assert command == (
        "Command: trm train sudoku-4x4 arch=trm 'data_paths=[datasets/sudoku-4x4]' "
        "checkpoint_path=checkpoints/sudoku-4x4-trm lr=2e-4 'wandb_project=a b' epochs=3"
    )
    import shlex

    words = shlex.split(command)[4:]
    assert compose("sudoku-4x4", words).config == resolved.config


def test_two_architectures_or_two_models_never_share_a_run_directory() -> None:
    models, architectures = registry.names("models"), registry.names("arch")
    table = [[compose(model, [f"arch={arch}"]).config.checkpoint_path for arch in architectures] for model in models]
    for paths in (*table, *zip(*table, strict=True)):
        assert len(set(paths)) == len(paths)
    assert compose(None, ["arch=trm_sudoku"]).config.checkpoint_path == "checkpoints/trm-sudoku"
    assert compose(None, ["arch=trm", "checkpoint_path=x"]).config.checkpoint_path == "x"


def test_a_model_without_a_run_directory_takes_its_architecture_s(configs: Path) -> None:
    write_model(configs, architecture="trm_sudoku_att")
    assert compose("mine").config.checkpoint_path == "checkpoints/trm-sudoku-att"


def test_paths_have_one_source() -> None:
    resolved = compose("sudoku-4x4", ["data_paths=[elsewhere]"])
    assert resolved.registry is not None
    assert resolved.registry.dataset_args["output_dir"] == "elsewhere"
    assert resolved.config.data_paths == ("elsewhere",)


def test_a_model_is_found_by_path_and_by_name(configs: Path, tmp_path: Path) -> None:
    write_model(configs)
    (configs / "models" / "mine.yaml").rename(tmp_path / "other.yaml")
    assert compose("other.yaml").config.model == "other"
    assert compose(str(tmp_path / "other.yaml")).config.data_paths == ("datasets/mine",)
    assert compose(None, ["model=sudoku-4x4"]).config.model == "sudoku-4x4"


def test_the_hyper_parameters_of_a_swapped_architecture_go_with_it(configs: Path) -> None:
    write_model(configs, overrides="{lr: 3e-4, arch: {mlp_t: true}}")
    assert compose("mine").config.arch.model_dump()["mlp_t"] is True
    swapped = compose("mine", ["arch=hrm"]).config
    assert (swapped.lr, swapped.arch.family) == (3e-4, "hrm")


class TestReferences:
    def test_types_and_texts(self) -> None:
        overrides = [
            "lr=${puzzle_emb_lr}",
            "checkpoint_path=runs/${model}/${arch.name}-${seed}",
            "data_paths=['${model}']",
        ]
        config = compose("sudoku-4x4", overrides).config
        assert (config.lr, config.checkpoint_path) == (1e-2, "runs/sudoku-4x4/trm_quickstart-0")
        assert config.data_paths == ("sudoku-4x4",)

    def test_dataset_args_refer_to_the_run(self, configs: Path) -> None:
        write_model(configs, dataset_args="{output_dir: 'datasets/${model}', seed: '${seed}'}")
        resolved = compose("mine", ["seed=5"])
        assert resolved.registry is not None
        assert resolved.registry.dataset_args == {"output_dir": "datasets/mine", "seed": 5}
        assert resolved.config.data_paths == ("datasets/mine",)

    @pytest.mark.parametrize(
        ("overrides", "word"),
        [
            (["lr=${lr}"], "refers to itself: lr -> lr"),
            (["lr=${beta1}", "beta1=${beta2}", "beta2=${lr}"], "refers to itself"),
            (["lr=${nothing.here}"], "names no key"),
            (["checkpoint_path=a${arch}"], "not a single value"),
            (["checkpoint_path=a${"], "without a key"),
            (["checkpoint_path=${env:HOME}"], "names no key"),
        ],
    )
    def test_what_cannot_be_resolved(self, overrides: list[str], word: str) -> None:
        found = problems_of(None, *overrides)
        assert {problem.where for problem in found} <= set(overrides)
        assert word in found[0].message
        assert len(found) == len(overrides)


class TestLegacySteps:
    def test_steps_alone_work_and_the_ratio_becomes_null(self) -> None:
        config = compose(None, ["dqn_warmup_steps=500", "lr_warmup_steps=0"]).config
        assert (config.dqn_warmup_steps, config.dqn_warmup_ratio) == (500, None)
        assert (config.lr_warmup_steps, config.lr_warmup_ratio) == (0, None)

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_steps_and_ratio_together_are_refused(self, order: tuple[int, int]) -> None:
        words = ["expansion_anneal_steps=5", "expansion_anneal_ratio=0.5"]
        [problem] = problems_of(None, *(words[index] for index in order))
        assert "both say" in problem.message

    def test_also_across_files(self, configs: Path) -> None:
        write_model(configs, overrides="{q_temperature_anneal_ratio: 0.5}")
        [problem] = problems_of("mine", "q_temperature_anneal_steps=5")
        assert "configs/models/mine.yaml:5:" in problem.message
        write_model(configs, overrides="{q_temperature_anneal_steps: 5}")
        assert compose("mine").config.q_temperature_anneal_ratio is None
        [problem] = problems_of("mine", "q_temperature_anneal_ratio=0.5")
        assert problem.where.startswith("configs/models/mine.yaml:5:")
        fixed = compose("mine", ["q_temperature_anneal_ratio=0.5", "q_temperature_anneal_steps=null"]).config
        assert fixed.q_temperature_anneal_ratio == 0.5

    def test_neither_is_refused(self) -> None:
        [problem] = problems_of(None, "lr_warmup_ratio=null")
        assert "lr_warmup_steps" in problem.message


class TestProblems:
    def test_all_at_once_sorted_by_file_and_line(self, configs: Path) -> None:
        write_model(configs, architecture="trm_sudokku", overrides="{epochs: x, epohcs: 3}", checkpoint_pth="x")
        cfg = configs / "cfg_pretrain.yaml"
        cfg.write_text(cfg.read_text(encoding="utf-8").replace("beta1: 0.9", "beta1: 1.5"), encoding="utf-8")
        line = next(n for n, text in enumerate(cfg.read_text().splitlines(), 1) if text.startswith("beta1:"))
        found = problems_of("mine", "lr=-1", "nonsense=1", "seed")
        assert [problem.where for problem in found] == [
            f"configs/cfg_pretrain.yaml:{line}:1",
            "configs/models/mine.yaml:2:1",
            "configs/models/mine.yaml:5:13",
            "configs/models/mine.yaml:5:24",
            "configs/models/mine.yaml:6:1",
            "lr=-1",
            "nonsense=1",
            "seed",
        ]
        assert "`beta1` must be a number at least 0 and below 1; found 1.5" in found[0].message
        assert found[1].hint == "did you mean `trm_sudoku`?"
        assert found[3].hint == "did you mean `epochs`?"
        assert found[4].hint == "did you mean `checkpoint_path`?"

    @pytest.mark.parametrize(
        ("override", "message", "hint"),
        [
            ("epochs=1_000", "a whole number from 1 to", "write 1000"),
            ("epochs=2.5", "a whole number", ""),
            ("epochs=true", "found true", ""),
            ("ema=on", "true or false", "write true"),
            ("compile=off", "true, false, auto or graphs", "write false"),
            ("lr=.inf", "found inf", ""),
            ("lr=.nan", "found nan", ""),
            ("lr=1e999", "found inf", ""),
            ("threads=0", "a whole number from 1 to", ""),
            ("data_paths=x", "a list of strings", "write [x]"),
            ("data_paths=[1]", "`data_paths.0`", ""),
            ("device=gpu", "one of auto, cpu, cuda, mps", ""),
            ("optimizer=adam_atan", "adam_atan2, adamw, muon", "did you mean `adam_atan2`?"),
            ("hidden_size=3", "unknown key", "did you mean `arch.hidden_size`?"),
            ("arch.lr=3", "unknown key", "`lr` is a key of the run"),
            ("arch.mlp_t=true", "unknown key", "family trm"),
            ("arch.num_heads=7", "do not divide", ""),
            ("arch=nothing_near", "no architecture", "there are: "),
            ("arch=5", "must be an architecture", ""),
            ("arch.family=tmr", "must be one of", "did you mean `trm`?"),
            ("model=sudoku", "no model", "did you mean"),
        ],
    )
    def test_message(self, override: str, message: str, hint: str) -> None:
        [problem] = problems_of(None, override)
        assert problem.where == override
        assert message in problem.message
        assert hint in problem.hint

    def test_heads_may_leave_features_over_but_need_a_width(self) -> None:
        assert compose(None, ["arch=trm", "arch.num_heads=12"]).config.arch.num_heads == 12
        for heads, message in ((600, "leave no width"), (100, "even width; these are 5 wide")):
            [problem] = problems_of(None, "arch=trm", f"arch.num_heads={heads}")
            assert message in problem.message

    @pytest.mark.parametrize(
        ("key", "value", "word"),
        [
            ("architecture", "5", "must be a string"),
            ("lr", "1", "unknown key `lr`"),
            ("overrides", "[1]", "must be a mapping"),
            ("overrides", "{data_paths: [x]}", "no place below"),
            ("overrides", "{checkpoint_path: x}", "no place below"),
            ("overrides", "{arch: trm}", "must be a mapping"),
            ("dataset_args", "{sources: [a]}", "no `output_dir`"),
            ("config", "cfg_pretrian", "no configuration"),
        ],
    )
    def test_what_is_wrong_with_a_model(self, configs: Path, key: str, value: str, word: str) -> None:
        write_model(configs, **{key: value})
        found = problems_of("mine")
        assert word in found[0].message
        assert found[0].where.startswith("configs/models/mine.yaml:")

    def test_a_missing_key_of_a_model(self, configs: Path) -> None:
        (configs / "models" / "mine.yaml").write_text("title: x\n", encoding="utf-8")
        assert [problem.key for problem in problems_of("mine")] == ["architecture", "dataset_builder", "dataset_args"]

    def test_a_whole_number_may_be_written_as_a_float(self) -> None:
        assert compose(None, ["epochs=1e5"]).config.epochs == 100_000


class TestRunConfig:
    @pytest.mark.parametrize("arch", registry.names("arch"))
    def test_dumped_and_read_back_it_is_identical(self, arch: str, tmp_path: Path) -> None:
        overrides = [f"arch={arch}", "lr=1.1e-7", "dqn_warmup_steps=3", "data_paths=['a b','1e-4','on']", "grad_clip=1"]
        resolved = compose("sudoku-6x6", overrides)
        text = dump_config(resolved)
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        again = load_run_config(tmp_path)
        assert again.config == resolved.config
        assert dump_config(again) == text

    def test_other_readers_of_yaml_read_the_same(self) -> None:
        import yaml

        config = compose("sudoku-4x4", ["lr=1e-7", "wandb_project=on", "checkpoint_path='1e-4'"])
        assert yaml.safe_load(dump_config(config)) == config.config.model_dump(mode="json")

    def test_overrides_stand_above_the_run(self, tmp_path: Path) -> None:
        (tmp_path / "config.yaml").write_text(dump_config(compose("sudoku-4x4")), encoding="utf-8")
        resumed = load_run_config(tmp_path / "config.yaml", ["log_interval=7"])
        assert resumed.config.log_interval == 7
        assert resumed.sources["log_interval"] == "override 1"

    def test_a_damaged_one_is_named(self, tmp_path: Path) -> None:
        text = dump_config(compose("sudoku-4x4")).replace("\nepochs: ", "\nepohcs: ")
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_run_config(tmp_path)
        [problem] = caught.value.problems
        assert (problem.key, problem.hint) == ("epohcs", "did you mean `epochs`?")


def test_a_file_of_unknown_keys_is_refused_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for a near name is what costs: 30,000 keys took 12 seconds."""
    searched = []
    monkeypatch.setattr(validate, "nearest", lambda name, known: searched.append(name))
    path = tmp_path / "many.yaml"
    shipped = (SHIPPED / "models/sudoku-4x4.yaml").read_text()
    path.write_text(shipped + "".join(f"  unknown_{number}: 1\n" for number in range(2_000)))
    with pytest.raises(ConfigError) as caught:
        compose(str(path))
    assert len(caught.value.problems) == 2_000
    assert len(searched) <= 100


def test_a_batch_larger_than_the_replay_is_refused_before_it_trains() -> None:
    words = ["arch=multimodal_hesc_mini", "arch.enable_dqn=true", "arch.replay_capacity=64"]
    assert compose(None, [*words, "global_batch_size=64"]).config.global_batch_size == 64
    assert compose(None, ["arch=multimodal_hesc_mini", "arch.replay_capacity=64", "global_batch_size=65"])
    with pytest.raises(ConfigError) as error:
        compose(None, [*words, "global_batch_size=65"])
    assert "65 rows at once do not fit a replay of 64 transitions" in str(error.value.problems[0].message)
