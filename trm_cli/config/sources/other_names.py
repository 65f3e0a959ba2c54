"""Know what other programs (nanoGPT, Hugging Face, Lightning, PyTorch scripts) call our keys and options."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

_SPELLINGS: Mapping[str, str] = {
    "epochs": "num_epochs max_epochs n_epochs num_train_epochs train_epochs nepochs",
    "global_batch_size": "batch_size bs train_batch_size batchsize minibatch_size",
    "eval_batch_size": "test_batch_size val_batch_size",
    "lr": "learning_rate max_lr base_lr",
    "lr_warmup_steps": "warmup_steps num_warmup_steps warmup_iters warmup",
    "lr_warmup_ratio": "warmup_ratio",
    "weight_decay": "wd",
    "grad_clip": "max_grad_norm gradient_clip_val clip_grad_norm grad_norm_clip",
    "seed": "random_seed manual_seed random_state",
    "eval_interval": "check_val_every_n_epoch",
    "keep_checkpoints": "save_total_limit save_top_k",
    "log_interval": "log_every logging_steps log_every_n_steps print_every",
    "checkpoint_path": "output_dir out_dir save_dir outdir logdir log_dir default_root_dir run_dir exp_name experiment",
    "data_paths": "data dataset data_dir dataset_path train_data data_root",
    "precision": "dtype mixed_precision amp torch_dtype",
    "device": "accelerator",
    "wandb_project": "project project_name",
    "optimizer": "optim",
    "activation_checkpointing": "gradient_checkpointing",
    "compile": "torch_compile",
    "arch": "architecture model_type",
    "arch.hidden_size": "d_model n_embd hidden_dim embed_dim dim",
    "arch.num_heads": "n_head n_heads nheads num_attention_heads",
    "arch.L_layers": "n_layer n_layers num_layers num_hidden_layers depth",
    "arch.halt_max_steps": "max_supervision_steps n_sup",
    "init_from": "pretrained pretrained_path weights finetune_from",
}
#: What it is called elsewhere -> our key.
KEYS: Mapping[str, str] = {other: key for key, others in _SPELLINGS.items() for other in others.split()}
#: What is counted otherwise elsewhere, so that its value cannot be taken over -> what there is here.
OTHERWISE: Mapping[str, str] = {
    **dict.fromkeys(
        ("gradient_accumulation_steps", "grad_accum_steps", "accumulate_grad_batches", "grad_accum"),
        "`micro_batch_size` is the number of rows that are computed at once; gradients add up over a batch",
    ),
    "min_lr": "`lr_min_ratio` is the last learning rate as a share of lr",
    **dict.fromkeys(
        ("eval_steps", "eval_every", "eval_freq", "validation_interval"), "`eval_interval` is counted in epochs"
    ),
    **dict.fromkeys(
        ("save_steps", "save_every", "save_interval", "save_freq"), "`checkpoint_interval` is counted in epochs"
    ),
    "per_device_train_batch_size": "`global_batch_size` counts the rows of all devices together",
    "per_device_eval_batch_size": "`eval_batch_size` counts the rows of all devices together",
}
#: Flags of other programs -> the setting that they mean.
FLAGS: Mapping[str, str] = {
    **dict.fromkeys(("cpu", "no_cuda", "use_cpu", "no_gpu"), "device=cpu"),
    **dict.fromkeys(("cuda", "gpu", "use_cuda", "use_gpu"), "device=cuda"),
    **dict.fromkeys(("fp16", "half", "float16"), "precision=float16"),
    **dict.fromkeys(("bf16", "bfloat16"), "precision=bfloat16"),
    **dict.fromkeys(("fp32", "float32"), "precision=float32"),
    **dict.fromkeys(("no_compile", "eager"), "compile=false"),
    **dict.fromkeys(("no_wandb",), "wandb=disabled"),
}
#: Options of other programs -> ours, which take the same value.
OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("gpus", "num_gpus", "n_gpu", "devices", "nproc_per_node", "num_processes"), "--nproc-per-node"),
    **dict.fromkeys(("seeds", "num_seeds", "n_seeds"), "--seeds"),
    **dict.fromkeys(("max_steps", "max_iters", "num_steps", "total_steps", "train_steps", "iters"), "--stop-at-step"),
}
#: Options of other programs that name the model.
MODEL = ("model", "config", "c", "cfg", "config_file", "config_path", "config_name", "model_name", "yaml", "f", "file")
#: Options of other programs that have nothing to say here.
LEFT_OUT = ("num_workers", "workers", "strategy")
#: How other programs write whether a flag is set.
TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
#: What a flag of `FLAGS` means where it is set to a word of `FALSE`; of the others nothing is known.
DENIED: Mapping[str, str] = {
    "device=cuda": "device=cpu", "device=cpu": "device=auto", "compile=false": "compile=true",
    "precision=float16": "precision=float32", "precision=bfloat16": "precision=float32",
}  # fmt: skip
#: The same, which may stand without a value.
FLAGS_LEFT_OUT = ("pin_memory", "do_train", "do_eval", "overwrite")


def without_denied(words: Sequence[str], denied: Collection[str]) -> list[str]:
    """Leave out settings of flags that were said to be false where another word sets the same key, and repetitions."""
    others = {word.partition("=")[0] for word in words if word not in denied}
    kept: list[str] = []
    for word in words:
        if word not in denied or (word.partition("=")[0] not in others and word not in kept):
            kept.append(word)
    return kept


def hint_for(key: str, value: object = True) -> str:
    """Return what to write instead of another program's key with this value; empty where it is none."""
    name = key.rpartition(".")[2].lower()
    if name in KEYS:
        return f"did you mean `{KEYS[name]}`?"
    if name in OTHERWISE:
        return OTHERWISE[name]
    if name in FLAGS:
        flag = DENIED.get(FLAGS[name], "") if str(value).lower() in FALSE else FLAGS[name]
        return f"write {flag}" if flag else "leave it out"
    if name in OPTIONS:
        return (
            "`epochs` is the length of a run; --stop-at-step N ends it earlier"
            if "step" in OPTIONS[name]
            else (f"`{OPTIONS[name]} N` is an option of trm train")
        )
    if name in ("verbose", "log_level", "loglevel"):
        return "`trm --log-level info` before the command logs what it does"
    return "leave it out: there is nothing to set" if name in (*LEFT_OUT, *FLAGS_LEFT_OUT) else ""
