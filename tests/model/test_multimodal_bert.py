"""BERT both ways: it is transformers' own, and what the decoder attends to changes what it should and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from helpers.retrievers import write_bert
from transformers import BertTokenizer
from transformers.models.bert.modeling_bert import BertLMHeadModel

from pseudocap.errors import InputError
from pseudocap.memory import Axis
from pseudocap.model.multimodal_bert import (
    SIGHT_ATTENTION,
    SOUND_ATTENTION,
    MultimodalBert,
    ProjectedMedia,
    bert_config,
    causal,
)
from pseudocap.model.network import seeded
from pseudocap.model.text import Marks
from pseudocap.model.valor_config import (
    AUDIO_VISUAL,
    CONCATENATED,
    FUSIONS,
    MERGED,
    PARALLEL,
    VISUAL_AUDIO,
)

IDS = torch.tensor([[2, 7, 8, 9, 3], [2, 6, 5, 3, 0]])
REAL = torch.tensor([[True] * 5, [True] * 4 + [False]])


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("text") / "bert", layers=2)


def build(bert: Path, fusion: str = CONCATENATED, **options: bool) -> MultimodalBert:
    document = transformers.BertConfig.from_pretrained(bert).to_dict()
    with seeded(1):
        lm = BertLMHeadModel.from_pretrained(bert, config=bert_config(document, fusion=fusion))
        marks = Marks.of(BertTokenizer.from_pretrained(bert))
        model = MultimodalBert(lm, fusion=fusion, marks=marks, mask_id=4, **options)
        for parameter in (p for name, p in model.named_parameters() if "attention" in name and p.dim() == 2):
            torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


def media(seed: int, *, clips: int = 2, vectors: int = 3) -> Axis:
    generator = torch.Generator().manual_seed(seed)
    return Axis(torch.randn(clips, vectors, 16, generator=generator), torch.ones(clips, vectors, dtype=torch.bool))


def written(model: MultimodalBert, seen: Axis | None, heard: Axis | None) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(model.write(IDS, causal(REAL), model.project(seen, heard)))


def test_without_media_it_is_transformers_bert_both_ways(bert: Path) -> None:
    model = build(bert)
    model.lm.load_state_dict(transformers.BertForMaskedLM.from_pretrained(bert).state_dict(), strict=False)
    theirs = transformers.BertForMaskedLM.from_pretrained(bert).eval()
    both_ways = REAL[:, None].expand(-1, 5, -1)
    with torch.no_grad():
        masked = theirs(IDS, attention_mask=REAL.long(), output_hidden_states=True)
        one_way = transformers.BertLMHeadModel.from_pretrained(bert, is_decoder=True).eval()(
            IDS, attention_mask=REAL.long()
        )
        mine = model.logits(model.write(IDS, both_ways, None))
        mine_causal = model.logits(model.write(IDS, causal(REAL), None))
        states = model.read(IDS, REAL)
    torch.testing.assert_close(mine[REAL], masked.logits[REAL])
    torch.testing.assert_close(states[REAL], masked.hidden_states[-1][REAL])
    torch.testing.assert_close(mine_causal[REAL], one_way.logits[REAL])
    assert not torch.allclose(mine_causal[0, 0], mine[0, 0])


def test_over_both_side_by_side_it_is_transformers_cross_attention(bert: Path) -> None:
    model, seen, heard = build(bert), media(1), media(2, vectors=2)
    heard.mask[1] = False
    with torch.no_grad():
        theirs = model.lm(
            IDS,
            attention_mask=REAL.long(),
            encoder_hidden_states=torch.cat([seen.vectors, heard.vectors], dim=1),
            encoder_attention_mask=torch.cat([seen.mask, heard.mask], dim=1).long(),
        ).logits
    torch.testing.assert_close(written(model, seen, heard)[REAL], theirs[REAL])


def test_the_weights_keep_the_names_of_bert(bert: Path) -> None:
    stored = transformers.BertForMaskedLM.from_pretrained(bert).state_dict().keys()
    added = build(bert).lm.state_dict().keys() - stored
    assert added
    assert all(".crossattention." in name for name in added)
    assert build(bert, MERGED).lm.state_dict().keys() == stored


@pytest.mark.parametrize("fusion", FUSIONS)
def test_only_real_vectors_of_media_count(bert: Path, fusion: str) -> None:
    model, seen, heard = build(bert, fusion), media(1), media(2)
    base = written(model, seen, heard)
    seen_twice = Axis(torch.cat([seen.vectors, 9 * seen.vectors], dim=1), torch.cat([seen.mask, ~seen.mask], dim=1))
    torch.testing.assert_close(written(model, seen_twice, heard), base)
    for other in (written(model, seen, None), written(model, None, heard), written(model, seen, media(3))):
        assert not torch.allclose(other, base, atol=1e-2)
    nothing = Axis(heard.vectors, torch.zeros_like(heard.mask))
    torch.testing.assert_close(written(model, seen, nothing), written(model, seen, None))
    torch.testing.assert_close(written(model, nothing, heard), written(model, None, heard))
    with torch.no_grad():
        plain = model.logits(model.write(IDS, causal(REAL), None))
    torch.testing.assert_close(written(model, nothing, nothing), plain)
    half = Axis(heard.vectors, heard.mask & torch.tensor([[True], [False]]))
    mixed = written(model, seen, half)
    torch.testing.assert_close(mixed[0], base[0])
    torch.testing.assert_close(mixed[1][REAL[1]], written(model, seen, None)[1][REAL[1]])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_token_changes_nothing_before_it(bert: Path, fusion: str) -> None:
    model = build(bert, fusion)
    projected = model.project(media(1), media(2))
    changed = IDS.clone()
    changed[0, 3] = 5
    with torch.no_grad():
        one, other = (model.write(ids, causal(REAL), projected) for ids in (IDS, changed))
    torch.testing.assert_close(one[0, :3], other[0, :3])
    assert not torch.allclose(one[0, 3:], other[0, 3:])


def test_the_orders_differ_only_where_there_is_both(bert: Path) -> None:
    audio_first, sight_first = build(bert, AUDIO_VISUAL), build(bert, VISUAL_AUDIO)
    sight_first.load_state_dict(audio_first.state_dict())
    seen, heard = media(1), media(2)
    torch.testing.assert_close(written(audio_first, seen, None), written(sight_first, seen, None))
    assert not torch.allclose(written(audio_first, seen, heard), written(sight_first, seen, heard), atol=1e-2)
    h, keys = torch.randn(2, 5, 16), audio_first.project(seen, heard).layers[0]
    with torch.no_grad():
        after_sound = audio_first._cross_attention(0, h, {SOUND_ATTENTION: keys[SOUND_ATTENTION]})
        then_sight = audio_first._cross_attention(0, after_sound, {SIGHT_ATTENTION: keys[SIGHT_ATTENTION]})
        torch.testing.assert_close(audio_first._cross_attention(0, h, keys), then_sight)


def test_parallel_attentions_add_up(bert: Path) -> None:
    model = build(bert, PARALLEL)
    h, keys = torch.randn(2, 5, 16), model.project(media(1), media(2)).layers[0]
    with torch.no_grad():
        each = [model._cross_attention(0, h, {name: part}) for name, part in keys.items()]
        torch.testing.assert_close(model._cross_attention(0, h, keys), each[0] + each[1])


def test_several_texts_of_a_clip_see_that_clip(bert: Path) -> None:
    for fusion in FUSIONS:
        model = build(bert, fusion)
        one: ProjectedMedia = model.project(media(1, clips=1), media(2, clips=1))
        with torch.no_grad():
            both = model.write(IDS, causal(REAL), one)
            alone = [model.write(IDS[row : row + 1], causal(REAL[row : row + 1]), one) for row in (0, 1)]
        torch.testing.assert_close(both, torch.cat(alone))


def test_an_encoder_of_its_own_has_berts_weights_and_learns_apart(bert: Path) -> None:
    shared, apart = build(bert), build(bert, shared=False)
    assert shared.text is None
    assert apart.text is not None
    words = apart.lm.bert.embeddings.word_embeddings.weight
    own = apart.text.embeddings.word_embeddings.weight
    assert torch.equal(own, words)
    assert own is not words


def test_a_text_beyond_the_positions_is_refused(bert: Path) -> None:
    ids = torch.full((1, 65), 5)
    with pytest.raises(InputError, match="65 tokens do not fit the 64 positions"):
        build(bert).read(ids, torch.ones_like(ids, dtype=torch.bool))
