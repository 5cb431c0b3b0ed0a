"""The text tower of CLIP (Radford et al. 2021, arXiv 2103.00020), written out.

It is transformers' `CLIPTextModel`: the same layers under the same names, so that weights go from
one to the other (`TextTower.as_transformers`), for programs that want that one. Written out it can
be read in the lesson, and is imported in no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import CLIPTextModel


class Attention(nn.Module):
    """Each token asks itself and those before it, and takes over what they answer.

    Vaswani et al. 2017 (arXiv 1706.03762, eq. 1), with several questions ("heads") side by side.
    Input and output: states (B, T, W).
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (
            nn.Linear(width, width) for _ in range(4)
        )

    def forward(self, states: Tensor) -> Tensor:
        questions, keys, values = (
            layer(states).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, T, W / heads)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        answers = F.scaled_dot_product_attention(questions, keys, values, is_causal=True)
        return self.out_proj(answers.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """What each token makes of what it has heard, by itself. Input and output: (B, T, W)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, states: Tensor) -> Tensor:
        states = self.fc1(states)
        return self.fc2(states * torch.sigmoid(1.702 * states))  # CLIP's quick GELU


class Layer(nn.Module):
    """Attention, then a perceptron; each adds something to the states. (B, T, W) → (B, T, W)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.layer_norm1, self.self_attn = nn.LayerNorm(width), Attention(width, heads)
        self.layer_norm2, self.mlp = nn.LayerNorm(width), Perceptron(width, 2 * width)

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.self_attn(self.layer_norm1(states))
        return states + self.mlp(self.layer_norm2(states))


class TextTower(nn.Module):
    """Tokens, int64 (B, T), to states (B, T, W).

    A token sees those before it; so what fills up a row at its end changes nothing before. size: of
    the vocabulary. length: of the longest row.
    """

    def __init__(self, size: int, length: int, width: int, layers: int, heads: int):
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {
                "token_embedding": nn.Embedding(size, width),
                "position_embedding": nn.Embedding(length, width),
            }
        )
        self.encoder = nn.ModuleDict(
            {"layers": nn.ModuleList(Layer(width, heads) for _ in range(layers))}
        )
        self.final_layer_norm = nn.LayerNorm(width)
        self._initialise(width, layers)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        states = self.embeddings["token_embedding"](tokens)
        states = states + self.embeddings["position_embedding"](places)
        for layer in self.encoder["layers"]:
            states = layer(states)
        return self.final_layer_norm(states)

    def _initialise(self, width: int, layers: int) -> None:
        """CLIP's first weights: what a layer adds is the smaller, the more layers add."""
        for embedding in self.embeddings.values():
            nn.init.normal_(embedding.weight, std=0.02)
        small, plain = (2 * layers * width) ** -0.5, width**-0.5
        stds = {"out_proj": plain, "fc1": (2 * width) ** -0.5}
        for name, module in self.encoder.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=stds.get(name.rpartition(".")[2], small))
                nn.init.zeros_(module.bias)

    def as_transformers(self, end: int, filler: int) -> CLIPTextModel:
        """transformers' `CLIPTextModel` with these weights; end, filler: [SEP]'s and [PAD]'s."""
        from transformers import CLIPTextConfig, CLIPTextModel

        layers = self.encoder["layers"]
        size, width = self.embeddings["token_embedding"].weight.shape
        model = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=size,
                hidden_size=width,
                intermediate_size=2 * width,
                num_hidden_layers=len(layers),
                num_attention_heads=layers[0].self_attn.heads,
                max_position_embeddings=len(self.embeddings["position_embedding"].weight),
                bos_token_id=None,
                eos_token_id=end,
                pad_token_id=filler,
            )
        )
        model.load_state_dict(self.state_dict())
        return model.to(self.final_layer_norm.weight.device).eval()
