"""A student of an English-only text encoder learns Chinese from parallel sentences."""

import pytest
import torch

from course_lib import faces, text


@pytest.fixture(scope="module")
def known():
    return faces.load("train")[:300]


def test_parallel_sentences_say_the_same(known):
    encoder = text.load()
    pairs = text.Parallel(known.attributes, encoder.tokens)
    for i in range(20):
        english, chinese = pairs.say(i)
        assert english.isascii()
        assert text.facts_of(english) == text.facts_of(chinese)
    assert pairs.say(0) != pairs.in_epoch(1).say(0)
    one, other = pairs.tensor([0, 1])
    assert len(one) == len(other) == 2


def test_the_student_says_in_chinese_what_its_teacher_says_in_english(known):
    torch.manual_seed(0)
    teacher = text.TextEncoder(width=32, layers=1, heads=2)
    recipe = text.DistillingRecipe(batch_size=32, learning_rate=3e-3)
    plan = text.distil(teacher, known.attributes, recipe)
    losses = plan.fit(32 * 60, progress=False).losses
    assert sum(losses["loss_chinese"][-5:]) < 0.6 * sum(losses["loss_chinese"][:5])
    student = plan.result()
    assert student is not teacher

    def apart(encoder):
        return (encoder.think("红眼睛").vector - teacher.think("red eyes").vector).norm()

    assert apart(student) < apart(teacher)
    english = student.think("red eyes").vector - teacher.think("red eyes").vector
    assert english.norm() < 0.5 * apart(teacher)


def test_captions_of_one_language(known):
    plan = text.build(known[:64], text.Recipe(batch_size=8), languages=["en"], width=16, layers=1,
                      heads=2)  # fmt: skip
    features, tokens, said, drawn = plan.data.tensor(range(8))
    assert len(features) == len(drawn) == 8
    assert len(tokens) == len(said) == 16
    assert plan.fit(16, progress=False).steps == 2
