"""The reference, against formulas written out here and against its own promises."""

import copy
import math
import pickle
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mhsa import IndivisibleError, MultiHeadAttention, self_attention

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def qkv(dtype: torch.dtype = torch.float64, size: float = 1.0) -> list[torch.Tensor]:
    return [draw(2, 3, t, 5, dtype=torch.float64, seed=i).clamp(-1, 1).mul(size).to(dtype) for i, t in enumerate((4, 6, 6))]


def test_it_is_the_textbook_formula() -> None:
    q, k, v = qkv()
    z, a = self_attention(q, k, v)
    for b in range(2):
        for h in range(3):
            for i in range(4):
                e = [math.exp(float(q[b, h, i] @ k[b, h, j]) / math.sqrt(5)) for j in range(6)]
                for j in range(6):
                    assert float(a[b, h, i, j]) == pytest.approx(e[j] / sum(e), rel=1e-13)
                expected = sum(e[j] / sum(e) * v[b, h, j] for j in range(6))
                assert torch.allclose(z[b, h, i], expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_without_keys_attends_to_nothing(dtype: torch.dtype) -> None:
    q, k, v = (x.requires_grad_(True) for x in qkv(dtype))
    mask = torch.ones(2, 1, 4, 6, dtype=torch.bool)
    mask[0, :, 1] = False
    z, a = self_attention(q, k, v, mask=mask)
    (z.sum() + a.square().sum()).backward()
    assert (a[0, :, 1] == 0).all()
    assert (z[0, :, 1] == 0).all()
    assert (q.grad[0, :, 1] == 0).all()
    assert all(x.grad.isfinite().all() for x in (q, k, v))
    assert (q.grad[1] != 0).any()


@pytest.mark.parametrize(("dtype", "size"), list(zip(DTYPES, [1e200, 1e30, 1e30, 6e4], strict=True)))
def test_huge_finite_inputs_stay_right(dtype: torch.dtype, size: float) -> None:
    """Scores overflow their own dtype; the softmax of such scores is one-hot, which no rounding changes."""
    q, k, v = qkv(dtype, size)
    z, a = self_attention(q, k, v)
    best = (q.double() / size @ (k.double() / size).mT).argmax(-1)
    assert (a == F.one_hot(best, 6)).all()
    assert (z == torch.take_along_dim(v, best[..., None], dim=2)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_huge_scores_share_the_weight(dtype: torch.dtype) -> None:
    q = torch.full((1, 1, 1, 4), torch.finfo(dtype).max / 4, dtype=dtype)
    z, a = self_attention(q, q.expand(1, 1, 4, 4), torch.eye(4, dtype=dtype)[None, None])
    assert (a == 0.25).all()
    assert (z == 0.25).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keys", range(1, 12))
def test_the_largest_values_do_not_round_to_infinity(dtype: torch.dtype, keys: int) -> None:
    q, k = draw(1, 1, 4, 3, dtype=dtype), draw(1, 1, keys, 3, dtype=dtype, seed=1)
    v = torch.full((1, 1, keys, 2), torch.finfo(dtype).max, dtype=dtype)
    z, _ = self_attention(q, k, v)
    assert z.isfinite().all()
    assert torch.allclose(z / v[:, :, :1], torch.ones_like(z))


def test_tiny_scores_survive_beside_a_huge_masked_key() -> None:
    q, k, v = qkv()
    k[:, :, 0] = 1e300
    mask = torch.ones(6, dtype=torch.bool)
    mask[0] = False
    z, a = self_attention(q, k, v, mask=mask)
    without, _ = self_attention(q, k[:, :, 1:], v[:, :, 1:])
    assert torch.allclose(z, without, rtol=1e-14, atol=0)
    assert (a[..., 0] == 0).all()


def test_masks_may_be_numbers_and_broadcast() -> None:
    q, k, v = qkv()
    mask = draw(2, 1, 4, 6, seed=9) > -0.5
    expected = self_attention(q, k, v, mask=mask)[0]
    for form in (mask.int(), mask.double(), mask.expand(2, 3, 4, 6), mask.expand(2, 3, 4, 6).contiguous()):
        assert torch.equal(self_attention(q, k, v, mask=form)[0], expected)


def test_no_keys_at_all_gives_zeros() -> None:
    q, k, v = qkv()
    z, a = self_attention(q, k[:, :, :0], v[:, :, :0])
    assert z.shape == q.shape
    assert a.shape == (2, 3, 4, 0)
    assert (z == 0).all()


def test_dropout_is_in_the_returned_weights() -> None:
    q, k, v = qkv()
    torch.manual_seed(0)
    z, a = self_attention(q, k, v, dropout=nn.Dropout(0.5))
    assert (a == 0).any()
    assert torch.allclose(z, a @ v)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda q, k, v: (q[0], k, v, None), "query [3, 4, 5]"),
        (lambda q, k, v: (q, k[..., :4], v, None), "equal B, H, Tk, d"),
        (lambda q, k, v: (q, k, v[:, :, :5], None), "equal B, H, Tk, d"),
        (lambda q, k, v: (q, k.float(), v, None), "mixed dtypes: query torch.float64, key torch.float32"),
        (lambda q, k, v: (q, k, v, torch.ones(4, 5)), "mask has shape [4, 5]; must be broadcastable to"),
        (lambda q, k, v: (q, k, v, torch.ones(1, 2, 3, 4, 6)), "mask has shape [1, 2, 3, 4, 6]"),
    ],
)
def test_the_core_names_what_does_not_fit(change, words: str) -> None:
    q, k, v, mask = change(*qkv())
    with pytest.raises(ValueError) as raised:
        self_attention(q, k, v, mask=mask)
    assert words in str(raised.value)


class TestModule:
    def module(self, **more) -> MultiHeadAttention:
        torch.manual_seed(0)
        return MultiHeadAttention(3, 12, **more).double().eval()

    def test_every_mask_form_is_the_same_mask(self) -> None:
        m, x = self.module(), draw(2, 4, 12)
        rows = draw(2, 4, 4, seed=3) > -0.5
        expected = m(x, x, x, rows)
        for form in (rows.int(), rows.double(), rows[:, None], rows[:, None].expand(2, 3, 4, 4)):
            assert torch.equal(m(x, x, x, form), expected)
        keys = rows[:, :1]
        assert torch.equal(m(x, x, x, keys), m(x, x, x, keys.expand(2, 4, 4)))
        assert torch.equal(m(x, x, x, rows[0]), m(x, x, x, rows[:1].expand(2, 4, 4)))

    def test_attn_holds_the_weights_of_the_last_call(self) -> None:
        m, x = self.module(), draw(2, 4, 12)
        assert m.attn is None
        m(x, x[:, :3], x[:, :3])
        assert m.attn.shape == (2, 3, 4, 3)
        assert torch.allclose(m.attn.sum(-1), torch.ones(2, 3, 4, dtype=torch.float64))

    def test_it_is_torchs_module_with_the_same_parameters(self) -> None:
        m, x, y = self.module(), draw(2, 4, 12), draw(2, 6, 12, seed=1)
        theirs = nn.MultiheadAttention(12, 3, batch_first=True).double().eval()
        with torch.no_grad():
            linears = (m.linear_query, m.linear_key, m.linear_value)
            theirs.in_proj_weight.copy_(torch.cat([linear.weight for linear in linears]))
            theirs.in_proj_bias.copy_(torch.cat([linear.bias for linear in linears]))
            theirs.out_proj.load_state_dict(m.linear_out.state_dict())
        out, weights = theirs(x, y, y, average_attn_weights=False)
        assert torch.allclose(m(x, y, y), out, rtol=1e-12, atol=1e-14)
        assert torch.allclose(m.attn, weights, rtol=1e-12, atol=1e-14)

    def test_the_seeds_state_dict_loads_strictly(self) -> None:
        names = ["linear_query", "linear_key", "linear_value", "linear_out"]
        state = {
            f"{n}.{p}": torch.zeros(12, 12) if p == "weight" else torch.zeros(12) for n in names for p in ("weight", "bias")
        }
        MultiHeadAttention(3, 12).load_state_dict(state, strict=True)

    def test_attributes(self) -> None:
        m = MultiHeadAttention(3, 12, dropout=0.25)
        assert (m.head, m.d_model, m.d_k, m.dropout.p) == (3, 12, 4, 0.25)

    def test_copies_and_pickles_after_a_call_with_gradients(self) -> None:
        m, x = self.module(), draw(2, 4, 12).requires_grad_(True)
        expected = m(x, x, x)
        for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
            assert other.attn is None
            assert torch.equal(other(x, x, x), expected)

    def test_empty_batch_and_empty_query(self) -> None:
        m = self.module()
        assert m(draw(0, 4, 12), draw(0, 4, 12), draw(0, 4, 12)).shape == (0, 4, 12)
        assert m(draw(2, 0, 12), draw(2, 4, 12), draw(2, 4, 12)).shape == (2, 0, 12)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((3, 7), "d_model=7 is not a multiple of head=3"),
            ((0, 8), "head=0; must be an integer of at least 1"),
            ((-2, 8), "head=-2"),
            ((2.0, 8), "head=2.0"),
            ((True, 8), "head=True"),
            ((2, 0), "d_model=0"),
            ((2, 8, 1.5), "dropout=1.5; must be a probability in [0, 1]"),
            ((2, 8, -0.1), "dropout=-0.1"),
        ],
    )
    def test_construction_refuses(self, arguments: tuple, words: str) -> None:
        with pytest.raises(ValueError) as raised:
            MultiHeadAttention(*arguments)
        assert words in str(raised.value)

    def test_indivisible_is_both_errors_and_survives_optimisation(self) -> None:
        assert issubclass(IndivisibleError, ValueError)
        assert issubclass(IndivisibleError, AssertionError)
        code = "import mhsa\ntry: mhsa.MultiHeadAttention(3, 7)\nexcept AssertionError as e: print('refused', e)"
        done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("refused d_model=7")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda x: (x[0], x, x), "query has 2 dimensions; must have 3"),
            (lambda x: (x, x[..., :11], x), "key is 11 wide; must be d_model=12 wide"),
            (lambda x: (x, x[:1], x[:1]), "key has batch 1; must be query's 2"),
            (lambda x: (x, x, x[:, :3]), "key has 4 positions and value 3"),
            (lambda x: (x.float(), x.float(), x.float()), "linear_query.weight torch.float64"),
            (lambda x: (x, x.float(), x), "mixed dtypes"),
            (lambda x: (x, x, x, torch.ones(2, 3, 4)), "mask has shape [2, 3, 4]; must be [Tq, Tk] = [4, 4]"),
            (lambda x: (x, x, x, torch.ones(2, 4)), "mask has shape [2, 4]"),
            (lambda x: (x, x, x, torch.ones(1, 4, 4)), "mask has shape [1, 4, 4]"),
            (lambda x: (x, x, x, torch.ones(2, 2, 4, 4)), "mask has shape [2, 2, 4, 4]"),
            (lambda x: (x, x, x, torch.zeros(4, 4).fill_(-math.inf)), "must hold only 0 (may not attend) and 1"),
        ],
    )
    def test_calls_are_refused(self, change, words: str) -> None:
        with pytest.raises(ValueError) as raised:
            self.module()(*change(draw(2, 4, 12)))
        assert words in str(raised.value)


class TestSlot:
    def test_torchs_function_plugs_in(self) -> None:
        torch.manual_seed(0)
        ours = MultiHeadAttention(3, 12).double().eval()
        theirs = MultiHeadAttention(3, 12, attention=F.scaled_dot_product_attention).double().eval()
        theirs.load_state_dict(ours.state_dict())
        x, mask = draw(2, 4, 12), draw(2, 4, 4, seed=1) > -1
        assert torch.allclose(ours(x, x, x, mask), theirs(x, x, x, mask), rtol=1e-12, atol=1e-14)
        assert theirs.attn is None

    def test_dropout_reaches_the_function_in_training_only(self) -> None:
        seen = []

        def core(q, k, v, mask=None, dropout_p=0.0):
            seen.append(dropout_p)
            return v

        m = MultiHeadAttention(1, 4, 0.3, attention=core)
        x = torch.zeros(1, 2, 4)
        m.train()(x, x, x)
        m.eval()(x, x, x)
        assert seen == [0.3, 0.0]

    def test_a_dropout_that_would_be_lost_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"takes no dropout parameter, so dropout=0\.1 would be lost"):
            MultiHeadAttention(1, 4, attention=lambda query, key, value: value)

    def test_a_mask_that_would_be_lost_is_refused(self) -> None:
        m = MultiHeadAttention(1, 4, 0.0, attention=lambda query, key, value: value)
        x = torch.zeros(1, 2, 4)
        with pytest.raises(ValueError, match="takes none"):
            m(x, x, x, torch.ones(2, 2))

    @pytest.mark.parametrize(
        ("attention", "words"),
        [
            (3, "attention=3; must be a function"),
            (lambda a, b: a, "first parameters must be query, key, value"),
            (lambda q, k, v, table: v, "needs table"),
            (torch.add, "no readable signature"),
        ],
    )
    def test_what_cannot_be_called_is_refused(self, attention, words: str) -> None:
        with pytest.raises(TypeError) as raised:
            MultiHeadAttention(1, 4, 0.0, attention=attention)
        assert words in str(raised.value)

    def test_a_function_that_returns_nonsense_is_refused(self) -> None:
        x = torch.zeros(1, 2, 4)
        with pytest.raises(TypeError, match="returned NoneType"):
            MultiHeadAttention(1, 4, 0.0, attention=lambda q, k, v: None)(x, x, x)
        with pytest.raises(ValueError, match=r"returned \[1, 1, 2\]"):
            MultiHeadAttention(1, 4, 0.0, attention=lambda q, k, v: v.sum(-1))(x, x, x)
