"""An embed run: sentence embeddings of responses and their maps in two dimensions."""

import random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

from engine.data.datasets_io import load_pairs
from engine.data.records import text_id
from engine.errors import RunError
from engine.model.folders import SENTENCE_MODEL, source_of
from engine.model.networks import best_device
from engine.settings.config import EmbedConfig
from engine.store.progress import Progress
from engine.store.rundir import find_run

SENTENCE_TOKENS = 256  # the length all-MiniLM-L6-v2 was trained for


def run(progress: Progress, config: EmbedConfig) -> None:
    """Embed the split's responses and the chosen runs' answers, and lay them out by each method."""
    texts = texts_of(progress, config)
    progress.stage("embedding", len(texts), "responses")
    vectors = embeddings(progress, list(texts.values()), best_device(config.device))
    for method in config.methods:
        progress.stage(f"map: {method}")
        points = layout(vectors, method, config.seed)
        map_id = f"{progress.run.id}:{method}"
        rows = [{"map_id": map_id, "text_id": i, "x": float(x), "y": float(y)} for i, (x, y) in zip(texts, points, strict=True)]
        progress.add("map_points", rows)
        progress.milestone()


def texts_of(progress: Progress, config: EmbedConfig) -> dict[str, str]:
    """{text_id: text} of chosen, rejected and generated responses, at most `texts` of them. Raises RunError when there are too few."""
    found = {text_id(t): t for p in load_pairs(progress.cache, config.dataset, config.split) for t in (p.chosen, p.rejected)}
    for run_id in config.generations:
        table = find_run(progress.cache, run_id).table("texts")
        if table is not None:
            found.update(zip(table["text_id"], table["text"], strict=True))
    if len(found) < 10:
        raise RunError(f"a map needs at least 10 different responses; split {config.split!r} of {config.dataset} has {len(found)}")
    kept = random.Random(config.seed).sample(sorted(found), min(config.texts, len(found)))
    return {i: found[i] for i in kept}


@torch.no_grad()
def embeddings(progress: Progress, texts: list[str], device: str, batch_size: int = 32) -> NDArray[np.float32]:
    """Unit vectors (N, 384): mean of the last hidden states over real tokens, normalised, as sentence-transformers does it.

    Reimers and Gurevych 2019. The model reads English; Chinese words are mostly unknown to it.
    """
    source = source_of(progress.cache, SENTENCE_MODEL)
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModel.from_pretrained(source, use_safetensors=True).to(device).eval()
    vectors = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        batch = tokenizer([texts[i] for i in part], padding=True, truncation=True, max_length=SENTENCE_TOKENS, return_tensors="pt").to(
            device
        )
        hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        vectors[part] = normalize((hidden * mask).sum(1) / mask.sum(1)).cpu().numpy()
        progress.advance(min(start + batch_size, len(order)), len(order))
    return vectors


def layout(vectors: NDArray[np.float32], method: str, seed: int) -> NDArray[np.float32]:
    """(N, 384) -> (N, 2) by UMAP (McInnes et al. 2018), t-SNE on 50 principal components (van der Maaten and Hinton 2008) or PCA."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    reducer: Any
    if method == "umap":
        from umap import UMAP

        reducer = UMAP(n_neighbors=min(15, len(vectors) - 1), metric="cosine", random_state=seed, n_jobs=1)
    elif method == "tsne":
        vectors = PCA(min(50, *vectors.shape), random_state=seed).fit_transform(vectors)
        reducer = TSNE(perplexity=min(30, (len(vectors) - 1) / 3), random_state=seed, init="pca")
    else:
        reducer = PCA(2, random_state=seed)
    threads = torch.get_num_threads()
    points: NDArray[np.float32] = reducer.fit_transform(vectors)
    torch.set_num_threads(threads)  # numba, under UMAP, sets the OpenMP that torch shares to as many as there are cores
    return points
