"""What a model's folder says of itself before it is loaded: where it is, its sizes, its number of parameters. Torch-free."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.settings.config import EMBEDDED_MODEL

SENTENCE_MODEL = "all-minilm-l6-v2"
LONGEST_HEADER = 100_000_000  # bytes; the safetensors format's own limit
NOT_LINEAR = ("embed", "lm_head", "score", "wte", "wpe")  # two-dimensional weights that get no adapters


@dataclass(frozen=True)
class Network:
    """The sizes of a transformers model."""

    parameters: int
    layers: int
    width: int  # hidden size
    inner: int  # of the feed-forward part
    vocabulary: int
    key_values: int  # numbers a layer's key or value has for one token: key-value heads × their width
    linear: dict[str, tuple[int, int]]  # the layers adapters can stand beside: {name: (outputs, inputs)}


def source_of(cache: Path, name: str) -> str:
    """Where a model's files are: a run of this cache, the embedded model, a local folder, or else a hub name.

    Raises ModelError when a folder is named that holds no model.
    """
    places = cache / "runs" / name / "model", cache / "models" / name, Path(name).expanduser()
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None and name == EMBEDDED_MODEL:
        raise ModelError("the embedded model is not in the cache: run `./run.sh setup` once to fetch it")
    if folder is None and (cache / "runs" / name).is_dir():
        raise ModelError(f"run {name} has no model: it has not finished, or its weights were freed")
    if folder is None:
        return name
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json: expected a model folder in the transformers format")
    if not list(folder.glob("*.safetensors")):
        raise ModelError(f"{folder} has no weights: expected at least one .safetensors file")
    return str(folder)


def folder_of(cache: Path, name: str) -> Path | None:
    """The model's folder on this machine, downloads from the hub included; None when it would have to be fetched. Raises ModelError."""
    source = Path(source_of(cache, name))
    if source.is_dir():
        return source
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        raise ModelError(f"model {name!r} not found: expected the embedded model, a local folder or a Hugging Face name") from None
    folder = Path(found).parent if isinstance(found, str) else None
    return folder if folder is not None and list(folder.glob("*.safetensors")) else None


def network_of(folder: Path) -> Network | None:
    """The sizes of the model in a folder; None when its config.json does not name them as most models do. Raises ModelError."""
    sizes = sizes_in(folder / "config.json")
    shapes = {name: shape for path in sorted(folder.glob("*.safetensors")) for name, shape in tensor_shapes(path).items()}
    try:
        layers, width, heads = sizes["num_hidden_layers"], sizes["hidden_size"], sizes["num_attention_heads"]
        inner, vocabulary = sizes["intermediate_size"], sizes["vocab_size"]
    except KeyError:
        return None
    for name in ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size"):
        if not isinstance(sizes[name], int) or sizes[name] < 1:
            raise ModelError(f"{folder / 'config.json'}: {name} is {sizes[name]!r}, expected a whole number above 0")
    return Network(
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        layers=layers,
        width=width,
        inner=inner,
        vocabulary=vocabulary,
        key_values=(sizes.get("num_key_value_heads") or heads) * (sizes.get("head_dim") or width // heads),
        linear={
            name.removesuffix(".weight"): (shape[0], shape[1])
            for name, shape in shapes.items()
            if len(shape) == 2 and not any(part in name for part in NOT_LINEAR)
        },
    )


def sizes_in(path: Path) -> dict[str, Any]:
    """What a config.json says of the network, or of its part for text. Raises ModelError."""
    try:
        declared = json.loads(path.read_text(encoding="utf-8"))
        sizes: dict[str, Any] = declared.get("text_config", declared)
        return {**sizes}
    except (OSError, ValueError, RecursionError, AttributeError, TypeError) as error:
        raise ModelError(f"{path} is no model's configuration: {error}") from None


def tensor_shapes(path: Path) -> dict[str, list[int]]:
    """{tensor: shape} from a safetensors file's header: 8 bytes with its length, then JSON. Raises ModelError when it is broken."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, LONGEST_HEADER)))
        tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
        whole = 8 + length + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
        shapes: dict[str, list[int]] = {name: tensor["shape"] for name, tensor in tensors.items()}
    except (OSError, ValueError, struct.error, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is not a safetensors file: {error}") from None
    if path.stat().st_size < whole:
        raise ModelError(f"{path} is cut short: it has {path.stat().st_size:,} bytes, its header names {whole:,}")
    return shapes
