"""A tiny random model of every family that is supported, saved as a Hub repository is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import tiny

SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
         "initializer_range": 0.2}  # large enough that what a model reads shows in what it answers  # fmt: skip
GROUPED: dict[str, Any] = {**SIZES, "num_key_value_heads": 2}
ENDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
SPECIAL = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
IMAGE: dict[str, Any] = {"image_size": 16, "patch_size": 8, "num_channels": 3}


def masked(folder: Path, config: str, **settings: Any) -> Path:
    """Save a masked language model with its tokenizer."""
    import transformers

    made = tiny.tokenizer(folder)
    built = getattr(transformers, config)(vocab_size=len(made), **settings)
    return _save(transformers.AutoModelForMaskedLM, built, folder)


def causal(folder: Path, config: str, **settings: Any) -> Path:
    """Save a causal language model with its tokenizer."""
    import transformers

    made = tiny.tokenizer(folder, causal=True)
    ends = {"bos_token_id": made.bos_token_id, "eos_token_id": made.eos_token_id}
    built = getattr(transformers, config)(vocab_size=len(made), **ends, **settings)
    return _save(transformers.AutoModelForCausalLM, built, folder)


def sentence(folder: Path, mode: str = "mean", dense: int | None = None) -> Path:
    """Save a sentence encoder as sentence-transformers lays it out."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    masked(folder / "inner", "BertConfig", **SIZES)
    modules: list[Any] = [Transformer(str(folder / "inner"), max_seq_length=64), Pooling(32, pooling_mode=mode)]
    if dense is not None:
        modules.append(Dense(32, dense))
    SentenceTransformer(modules=[*modules, Normalize()], device="cpu").save(str(folder), create_model_card=False)
    if dense is None:
        shutil.rmtree(folder / "2_Normalize")  # it has no settings, and some repositories have no folder for it
    return folder


def vision(folder: Path, config: str, processor: str, head: bool = False, **settings: Any) -> Path:
    """Save an image model, with or without a classification head, with its processor."""
    import transformers

    auto = transformers.AutoModelForImageClassification if head else transformers.AutoModel
    names = {"id2label": {0: "plain", 1: "striped"}, "label2id": {"plain": 0, "striped": 1}} if head else {}
    _save(auto, getattr(transformers, config)(**settings, **names), folder)
    side = settings.get("image_size", 16)
    getattr(transformers, processor)(size={"height": side, "width": side}).save_pretrained(folder)
    return folder


def clip(folder: Path, config: str = "CLIPConfig", processor: str = "CLIPImageProcessorPil") -> Path:
    """Save a model of images and texts."""
    import transformers

    made = tiny.tokenizer(folder)
    text = {**SIZES, "vocab_size": len(made), "max_position_embeddings": 64, **SPECIAL}
    built = getattr(transformers, config)(text_config=text, vision_config={**SIZES, **IMAGE}, projection_dim=24)
    _save(transformers.AutoModel, built, folder)
    shape = {"height": 16, "width": 16}
    settings = {"size": shape, "crop_size": shape} if "CLIP" in processor else {"size": shape}
    getattr(transformers, processor)(**settings).save_pretrained(folder)
    return folder


def _save(auto: Any, config: Any, folder: Path) -> Path:
    import torch

    torch.manual_seed(0)
    model = auto.from_config(config)
    for tensor in model.parameters() if "EfficientNet" in type(config).__name__ else ():
        torch.nn.init.normal_(tensor, std=0.5)  # its own initial values answer every image with nothing
    model.save_pretrained(folder)
    return folder


def images(folder: Path, count: int = 7) -> list[Path]:
    """Draw small pictures of different shapes."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    rng, paths = np.random.default_rng(0), []
    for number in range(count):
        shape = (12 + 3 * number, 30 - 2 * number, 3)
        paths.append(folder / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    return paths


def rewrite(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


MASKED: dict[str, Callable[[Path], Path]] = {
    "bert": lambda folder: masked(folder, "BertConfig", **SIZES, max_position_embeddings=256),
    "roberta": lambda folder: masked(folder, "RobertaConfig", **SIZES, max_position_embeddings=258, **ENDS),
    "distilbert": lambda folder: masked(folder, "DistilBertConfig", dim=32, n_layers=2, n_heads=4, hidden_dim=64),
    "deberta": lambda folder: masked(
        folder, "DebertaV2Config", **SIZES, relative_attention=True, pos_att_type=["c2p", "p2c"], position_buckets=8,
        norm_rel_ebd="layer_norm", share_att_key=True,
    ),
    "modernbert": lambda folder: masked(folder, "ModernBertConfig", **SIZES, **SPECIAL),
    # these three mind their padding, though it is masked
    "fnet": lambda folder: masked(folder, "FNetConfig", **SIZES, max_position_embeddings=256),
    "convbert": lambda folder: masked(folder, "ConvBertConfig", **SIZES, embedding_size=32, head_ratio=2),
    "nystromformer": lambda folder: masked(
        folder, "NystromformerConfig", **SIZES, num_landmarks=8, segment_means_seq_len=8
    ),
    "electra": lambda folder: masked(folder, "ElectraConfig", **SIZES, embedding_size=16),
}  # fmt: skip
CAUSAL: dict[str, Callable[[Path], Path]] = {
    "gpt2": lambda folder: causal(folder, "GPT2Config", n_embd=32, n_layer=2, n_head=4, n_positions=512),
    "llama": lambda folder: causal(folder, "LlamaConfig", **GROUPED, max_position_embeddings=512),
    "mistral": lambda folder: causal(folder, "MistralConfig", **GROUPED, sliding_window=64),
    "gpt_neo": lambda folder: causal(
        folder, "GPTNeoConfig", hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]],
        window_size=16, initializer_range=0.2,
    ),
    "phi3": lambda folder: causal(
        folder, "Phi3Config", **GROUPED, pad_token_id=1, max_position_embeddings=512,
        original_max_position_embeddings=64,
        rope_parameters={"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4,
                         "long_factor": [1.0, 2.0, 4.0, 8.0], "original_max_position_embeddings": 64,
                         "partial_rotary_factor": 1.0},
    ),
    "falcon": lambda folder: causal(
        folder, "FalconConfig", hidden_size=32, num_hidden_layers=2, num_attention_heads=4
    ),
    "bloom": lambda folder: causal(folder, "BloomConfig", hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2),
    "qwen2": lambda folder: causal(folder, "Qwen2Config", **GROUPED),
    "qwen3": lambda folder: causal(folder, "Qwen3Config", **GROUPED, head_dim=8),
    "gemma2": lambda folder: causal(folder, "Gemma2Config", **GROUPED, head_dim=8),
    "opt": lambda folder: causal(
        folder, "OPTConfig", hidden_size=32, num_hidden_layers=2, ffn_dim=64, num_attention_heads=4,
        word_embed_proj_dim=32,
    ),
    "mamba": lambda folder: causal(folder, "MambaConfig", hidden_size=32, num_hidden_layers=2, state_size=4),
}  # fmt: skip

SENTENCE: dict[str, Callable[[Path], Path]] = {
    "mean": lambda folder: sentence(folder),
    "cls": lambda folder: sentence(folder, "cls"),
    "max-dense": lambda folder: sentence(folder, "max", dense=16),
    "lasttoken": lambda folder: sentence(folder, "lasttoken"),
    "weightedmean": lambda folder: sentence(folder, "weightedmean"),
}

VISION: dict[str, Callable[[Path], Path]] = {
    "vit": lambda folder: vision(folder, "ViTConfig", "ViTImageProcessorPil", True, **SIZES, **IMAGE),
    "vit-headless": lambda folder: vision(folder, "ViTConfig", "ViTImageProcessorPil", **SIZES, **IMAGE),
    "resnet": lambda folder: vision(
        folder, "ResNetConfig", "ViTImageProcessorPil", True, embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]
    ),
    "convnext": lambda folder: vision(
        folder, "ConvNextConfig", "ViTImageProcessorPil", True, hidden_sizes=[8, 16], depths=[1, 1], num_stages=2,
        image_size=16, patch_size=2,
    ),
    "efficientnet": lambda folder: vision(
        folder, "EfficientNetConfig", "EfficientNetImageProcessorPil", True, image_size=64, width_coefficient=0.25,
        depth_coefficient=0.2, hidden_dim=320,
    ),
}  # fmt: skip

CLIP: dict[str, Callable[[Path], Path]] = {
    "clip": lambda folder: clip(folder),
    "siglip": lambda folder: clip(folder, "SiglipConfig", "SiglipImageProcessorPil"),
}
