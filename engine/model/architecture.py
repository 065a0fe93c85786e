"""Whether transformers knows the architecture that a model's folder names."""

from pathlib import Path

from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, AutoConfig

from engine.errors import ModelError


def check_architecture(folder: Path, gives_reward: bool) -> None:
    """Raises ModelError when transformers has no network of this architecture, with a head for a reward or for the next token."""
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # of many kinds, by what is wrong in config.json
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"{folder / 'config.json'}: {first}") from None
    mapping, what = (MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, "a reward") if gives_reward else (MODEL_FOR_CAUSAL_LM_MAPPING, "answers")
    if type(config) not in mapping:
        raise ModelError(f"{folder / 'config.json'}: transformers has no {config.model_type} network that gives {what}")
