"""Sentences become vectors: what is known of a prompt, what is true of a face, what was learnt."""

import random
import unicodedata
import warnings

import pytest
import torch

from course_lib import captions, faces, text
from course_lib.faces.captioned import fits, in_numbers
from course_lib.text import learning


@pytest.fixture(autouse=True, scope="module")
def on_the_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        yield


@pytest.fixture(scope="module")
def encoder():
    return text.load()


ODD = (
    "red eyes", "红眼睛，蓝色长发", "Red EYES!", "紅色雙馬尾", "ｒｅｄ　ｅｙｅｓ", "", "🙂", "café",
    "a\tb\nc tuba",
    "she's 3½ 岁", "red-eyed, long‑haired", "\u200bred\x00 eyes", "red eyes, " * 40,
)  # fmt: skip


def test_tower_and_tokens_are_those_of_transformers(encoder):
    """`CLIPTextModel` and `BertTokenizer` make the same of the same, less the unknown words."""
    from transformers import BertTokenizer

    theirs = BertTokenizer(vocab={word: i for i, word in enumerate(encoder.words)})
    tokens = encoder.tokens(ODD)
    for prompt, row in zip(ODD, tokens.tolist(), strict=True):
        ids = theirs(unicodedata.normalize("NFKC", prompt).strip())["input_ids"]
        ids = [token for token in ids if token != encoder.unknown]
        expected = ids if len(ids) <= text.LENGTH else [*ids[: text.LENGTH - 1], encoder.end]
        assert [token for token in row if token] == expected, prompt
    mask = (tokens != 0).long()
    model = encoder.clip.as_transformers(encoder.end, filler=0)
    with torch.no_grad():
        expected = model(tokens, attention_mask=mask)
        thoughts = encoder(tokens)
        pooled = encoder.projection(expected.pooler_output)
    real = mask.bool()
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(thoughts.states[real], expected.last_hidden_state[real], **close)
    torch.testing.assert_close(thoughts.vector, pooled, **close)


def test_unknown_words_change_nothing(encoder):
    plain, more, nothing = encoder.think(["red eyes", "🙂 red tuba eyes", ""]).vector
    assert not torch.allclose(plain, nothing, atol=1e-2)
    torch.testing.assert_close(more, plain)


def test_no_caption_has_an_unknown_word_or_is_cut(encoder):
    rng = random.Random(0)
    for face in faces.load("held-out").attributes:
        for said in captions.describe(face, rng)[:2]:
            found = encoder.understand(said)
            assert not found.unknown, said
            assert not found.cut


def test_painters_warn_of_unknown_words_unless_they_are_told_already(encoder):
    """Without a word, "grey hair" has any colour: the vocabulary is American."""
    with pytest.warns(text.UnknownWords, match=r"grey \(gray\?\), tuba$"):
        text.warn_of_unknown(encoder, ["grey hair", "red eyes", "a tuba", "grey eyes"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text.warn_of_unknown(encoder, ["红眼睛, blue hair"])
        with text.told_already():
            text.warn_of_unknown(encoder, ["grey hair"])


def test_what_is_unknown_and_what_is_cut_is_told(encoder):
    found = encoder.understand("RED eyes，a tuba 🙂")
    assert found.unknown == ["tuba", "🙂"]
    assert found.known == ["RED", "eyes", ",", "a"]
    with pytest.warns(UserWarning, match="too long; left out: ', red eyes"):
        encoder.think("red eyes, " * 40)
    with pytest.raises(TypeError, match="a prompt is a text, not int"):
        encoder.understand(3)


@pytest.mark.parametrize("prompt", ["", "🙂", "qwertz", "，，", "red eyes, 蓝色长发", "x" * 10_000])
def test_odd_prompts_have_thoughts(encoder, prompt):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        thoughts = encoder.think(prompt)
    assert thoughts.vector.shape == (1, 128)
    assert thoughts.states.shape[::2] == (1, 128)
    assert thoughts.vector.isfinite().all()


def test_the_same_said_otherwise_lands_together(encoder):
    same = ["red eyes", "eyes that are red", "RED EYES", "红眼睛", "红色的眼睛", "紅眼睛"]
    other = ["blue eyes", "蓝眼睛", "red hair"]
    vectors = torch.nn.functional.normalize(encoder.think([*same, *other]).vector, dim=1)
    likeness = vectors @ vectors.T
    assert likeness[:6, :6].min() > 0.9
    assert likeness[:6, 6:].max() < 0.5


def test_which_colour_belongs_to_what(encoder):
    prompts = ["blue hair, red eyes", "red hair, blue eyes", "红眼睛，蓝头发"]
    vectors = torch.nn.functional.normalize(encoder.think(prompts).vector, dim=1)
    assert vectors[0] @ vectors[2] > 0.9
    assert vectors[0] @ vectors[1] < 0.5


def test_padding_changes_no_thought(encoder):
    alone = encoder.think("red eyes")
    beside = encoder.think(["red eyes", "a girl with long blue hair and round glasses"])
    torch.testing.assert_close(alone.vector[0], beside.vector[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.mean()[0], beside.mean()[0], rtol=1e-4, atol=1e-5)


def test_mistakes_are_mistakes_unless_they_are_true_by_chance():
    rng, values = random.Random(1), faces.attribute_values()
    known = faces.load("train")[:200]
    drawn = torch.tensor(
        [[v.index(f[n]) if f[n] in v else -1 for n, v in values.items()] for f in known.attributes]
    )
    wrong = 0
    for i, face in enumerate(known.attributes):
        facts = captions.choose_facts(face, rng)
        assert fits(torch.tensor(in_numbers(facts)), drawn[i])
        wrong += not fits(torch.tensor(in_numbers(learning.mistaken(facts, rng))), drawn[i])
    assert wrong > 160


def test_contrast_wants_own_texts_near_and_forgives_what_is_true():
    looks = torch.eye(2)
    texts = torch.cat([looks, looks, -looks, -looks])  # right ones near, wrong ones far
    own = torch.eye(2, dtype=torch.bool).repeat(2, 1)
    true = torch.cat([own, torch.zeros_like(own)])
    sharp = torch.tensor(20.0)
    assert learning.contrast(texts, looks, true, sharp) < 1e-6
    assert learning.contrast(texts.flip(1), looks, true, sharp) > 10
    everywhere = torch.ones_like(true)
    assert learning.contrast(texts.flip(1), looks, everywhere, sharp) == pytest.approx(0)


def test_training_learns_and_goes_on_exactly(tmp_path):
    recipe = text.Recipe(batch_size=8)

    def train():
        plan = text.build(
            faces.load("train")[:40], recipe, width=16, layers=1, heads=2, precision="no"
        )
        return plan.fit(48, folder=tmp_path, save_every=3, progress=False)

    history = train()
    for last in tmp_path.glob("step-00000006.*"):
        last.unlink()  # as if it had been killed after the third step
    assert train().losses == history.losses
