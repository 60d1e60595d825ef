"""Exact search for the nearest keys of many queries, by dot product.

Similarities are computed in blocks of one matrix product.  Consecutive keys form
groups; for each query the maximum of every group is taken (one vectorized pass),
and only the k groups with the largest maxima are searched.  They hold all of the
k nearest keys: if the group of such a key were left out, each of the k groups
chosen instead would hold a key that is nearer.

Where the processor computes bfloat16, the product is made in it, four times as
fast, and serves only to leave keys out: a bound on its error says which keys
could be among the k nearest, and the similarities of these are computed in
float32.  Queries for which the bound leaves too many are searched in float32.

Ties: of equally similar keys the earlier one is nearer.
"""

import warnings
from typing import Iterator, NamedTuple, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mssl_plugins.models.layers.precision import computes_bfloat16

# Similarities held at once: 2^26 float32 = 256 MiB.  Keys beyond one block are
# searched block by block and merged.
SIMILARITIES = 2**26
KEY_BLOCK = 2**16
FEWEST = 4096  # keys from which a first pass in bfloat16 pays


def _rank(sim: Tensor, index: Tensor) -> Tensor:
    """Distinct int64 ranks that sort by similarity, then by the earlier index.

    Overwrites ``sim``.
    """
    # Adding 0 turns -0.0 into 0.0; the xor makes the bits of negative floats
    # ascend with their value.
    bits = sim.add_(0.0).view(torch.int32)
    bits ^= (bits >> 31).bitwise_and_(0x7FFFFFFF)
    rank = bits.long()
    rank <<= 32
    rank -= index
    return rank


def _unrank(rank: Tensor) -> Tuple[Tensor, Tensor]:
    bits = (rank + 0xFFFFFFFF) >> 32  # index is below 2^32: rounds up to bits
    index = (bits << 32) - rank
    bits = bits.int()
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return bits.view(torch.float32), index


def _first(sim: Tensor, index: Tensor, k: int) -> Tuple[Tensor, Tensor]:
    """The k most similar of each row; of equal ones the smaller index first."""
    top, at = sim.topk(min(k + 1, sim.size(1)))
    # Few rows hold equal values, and only they need the more expensive sort.
    tied = (top[:, 1:] == top[:, :-1]).any(1).nonzero().flatten()
    top, at = top[:, :k], index.gather(1, at[:, :k])
    if len(tied):
        rank = _rank(sim[tied], index[tied]).topk(k).values
        top[tied], at[tied] = _unrank(rank)
    return top, at


class _Rough(NamedTuple):
    """Keys rounded to bfloat16, with bounds on what rounding loses.

    Attributes:
        keys (Tensor): (K, D) bfloat16.
        length (float): Largest norm of a rounded key.
        lost (float): Largest norm of the difference between a key and its rounded one.
    """

    keys: Tensor
    length: float
    lost: float

    @classmethod
    def of(cls, keys: Tensor) -> '_Rough':
        rounded = keys.bfloat16()
        back = rounded.float()
        length = float(back.norm(dim=1).max())
        return cls(rounded, length, float(back.sub_(keys).norm(dim=1).max()))

    def error(self, queries: Tensor, rounded: Tensor) -> Tensor:
        """(c,) bounds on how far a similarity in bfloat16 is from that in float32.

        Both are sums of D products. The rounding of the first sum to bfloat16 is not
        included: the caller adds it.
        """
        back = rounded.float()
        lost = (back - queries).norm(dim=1)
        sums = queries.size(1) * 2.0**-22  # each of two sums of D rounds by at most D 2^-24
        return queries.norm(dim=1) * (self.lost + sums * self.length) + lost * self.length


class _Block(NamedTuple):
    """Up to ``KEY_BLOCK`` consecutive keys, in groups of ``size`` consecutive ones.

    Attributes:
        begin (int): Index of the first key.
        count (int): Keys without padding.
        keys (Tensor): (size * groups, D), padded with zeros; position
            m * groups + j is key j * size + m, so that the maximum over a group
            runs over whole rows.
        size (int): Keys of a group.
        rough (_Rough, optional): The same keys in bfloat16.
    """

    begin: int
    count: int
    keys: Tensor
    size: int
    rough: Optional[_Rough]

    @property
    def groups(self) -> int:
        return len(self.keys) // self.size

    def members(self, sim: Tensor) -> Tensor:
        """(c, size, groups) similarities; those of padding are minus infinity."""
        sim = sim.view(-1, self.size, self.groups)
        full, rest = divmod(self.count, self.size)  # groups without padding, keys of the next
        sim[:, rest:, full : full + 1] = -torch.inf
        sim[:, :, full + 1 :] = -torch.inf
        return sim

    def index(self, position: Tensor) -> Tensor:
        """Indices of the keys at positions."""
        return self.begin + position % self.groups * self.size + position // self.groups


class _Bank:
    """Keys in search order.

    Args:
        keys (Tensor): (K, D) float32.
        k (int): Neighbors of each query.
        normalize (bool): Whether to divide keys by their norms.
        rough (bool): Whether to leave keys out by a product in bfloat16.
    """

    def __init__(self, keys: Tensor, k: int, normalize: bool, rough: bool) -> None:
        self.k = k
        norms = keys.new_ones(len(keys), 1)
        if normalize:
            norms = keys.norm(dim=1, keepdim=True).clamp_min_(1e-12)
        self.blocks = []
        for begin in range(0, len(keys), KEY_BLOCK):
            block = keys[begin : begin + KEY_BLOCK]
            # There are n / size maxima and k * size candidates: equal at sqrt(n / k).
            size = 1
            while size < 32 and 2 * size**2 * k <= len(block):
                size *= 2
            # A whole number of cache lines: their maxima take half the time.
            groups = -(-len(block) // (16 * size)) * 16
            members = block.new_zeros(size, groups, block.size(1))
            norm = norms[begin : begin + KEY_BLOCK]
            for m in range(size):
                part = block[m::size]
                torch.div(part, norm[m::size], out=members[m, : len(part)])
            stored = members.flatten(0, 1)
            pays = rough and groups > self._wanted_groups()
            self.blocks.append(
                _Block(begin, len(block), stored, size, _Rough.of(stored) if pays else None)
            )
        self.widest = max(len(block.keys) for block in self.blocks)
        self.buffer = None

    def _wanted_groups(self) -> int:
        """How many groups the first pass in bfloat16 looks into."""
        return 3 * self.k + 24

    def _similarities(self, queries: Tensor, keys: Tensor) -> Tensor:
        # Written into memory that is already there: fresh pages cost a quarter of the product.
        size = len(queries) * self.widest
        if self.buffer is None or len(self.buffer) < size:
            self.buffer = queries.new_empty(size, dtype=torch.float32)
        out = self.buffer.view(keys.dtype)[: len(queries) * len(keys)]
        return torch.mm(queries, keys.t(), out=out.view(len(queries), -1))

    @torch.no_grad()
    def search(self, queries: Tensor) -> Tuple[Tensor, Tensor]:
        """Similarity and index of the k nearest keys, the nearest first."""
        best = None
        for place in range(len(self.blocks)):
            found = self._candidates(queries, place)
            if best is not None:
                found = tuple(torch.cat(pair, 1) for pair in zip(best, found))
            best = _first(*found, min(self.k, found[0].size(1)))
        return best

    def _candidates(self, queries: Tensor, place: int) -> Tuple[Tensor, Tensor]:
        """Similarities and indices of some keys of a block, the k nearest among them."""
        block = self.blocks[place]
        if block.rough is None:
            return self._exact(queries, block)
        sim, index, sure = self._rough(queries, block)
        if not sure.all():
            unsure = (~sure).nonzero().flatten()
            left = _first(*self._exact(queries[unsure], block), sim.size(1))
            sim[unsure], index[unsure] = left
            if 2 * len(unsure) > len(sim):  # similarities too near each other for bfloat16
                self.blocks[place] = block._replace(rough=None)
        return sim, index

    def _exact(self, queries: Tensor, block: _Block) -> Tuple[Tensor, Tensor]:
        sim = block.members(self._similarities(queries, block.keys))
        index = torch.arange(block.groups, device=sim.device).expand(len(sim), -1)
        if block.size > 1 and block.groups > self.k:
            index = _first(sim.amax(1), index, self.k)[1]
            sim = sim.gather(2, index[:, None].expand(-1, block.size, -1))
        member = torch.arange(block.size, device=sim.device)[:, None]
        index = block.begin + index[:, None] * block.size + member
        return sim.flatten(1), index.flatten(1)

    def _rough(self, queries: Tensor, block: _Block) -> Tuple[Tensor, Tensor, Tensor]:
        """Candidates from a product in bfloat16, and which queries' candidates surely suffice.

        Let t be the k-th largest similarity in bfloat16 and d the bound on its error.
        The k keys that reach t have at least t - d in float32, so a key whose similarity
        in bfloat16 is below t - 2 d is not among the nearest.
        """
        rounded = queries.bfloat16()
        sim = block.members(self._similarities(rounded, block.rough.keys))
        wanted = self._wanted_groups()
        maxima, group = sim.amax(1).float().topk(wanted + 1)
        out, group = maxima[:, wanted], group[:, :wanted]  # the best group left out
        sim = sim.gather(2, group[:, None].expand(-1, block.size, -1)).flatten(1).float()
        many = min(3 * self.k + 32, sim.size(1) - 1)
        near, at = sim.topk(many + 1)
        out = torch.maximum(out, near[:, many]).clamp_min(torch.finfo(torch.float32).min / 2)
        nearest = near[:, self.k - 1]
        error = 2 * block.rough.error(queries, rounded)
        half = 2.0**-8  # half a unit in the last place of bfloat16, and as much for safety
        sure = out + half * out.abs() < nearest - half * nearest.abs() - error
        at = at[:, :many]
        position = at // wanted * block.groups + group.gather(1, at % wanted)
        return _dots(queries, block.keys, position), block.index(position), sure


def _dots(queries: Tensor, keys: Tensor, index: Tensor) -> Tensor:
    """(c, n) dot products of each query with its own n keys, which are not copied."""
    rows, many = index.shape
    starts = torch.arange(0, rows * many + 1, many)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Sparse ')  # in beta, and checked only if asked
        wanted = torch.sparse_csr_tensor(
            starts, index.flatten(), queries.new_zeros(index.numel()), (rows, len(keys))
        )
    found = torch.sparse.sampled_addmm(wanted, queries, keys.t(), beta=0.0)
    return found.values().view(rows, many)


def nearest(
    queries: Tensor,
    keys: Tensor,
    k: int,
    normalize: bool = True,
    chunk: Optional[int] = None,
    rough: Optional[bool] = None,
) -> Iterator[Tuple[Tensor, Tensor]]:
    """The k nearest keys of every query, chunk by chunk.

    Args:
        queries (Tensor): (Q, D) features.
        keys (Tensor): (K, D) features, on the same device.
        k (int): Number of neighbors, at most K.
        normalize (bool): Whether to L2-normalize both, so that the dot product
            is the cosine. Defaults to True.
        chunk (int, optional): Queries a step. Defaults to None: as many as
            keep the similarities below 256 MiB.
        rough (bool, optional): Whether a product in bfloat16 first leaves keys
            out; the result is the same. Defaults to None: on a processor that
            computes bfloat16, for 4,096 keys and more.

    Yields:
        tuple[Tensor, Tensor]: (c, k) float32 similarities in descending order,
        and (c, k) int64 indices of the keys.
    """
    keys = keys.detach().float()
    if rough is None:
        rough = keys.device.type == 'cpu' and len(keys) >= FEWEST and computes_bfloat16('cpu')
    bank = _Bank(keys, k, normalize, rough)
    del keys
    chunk = chunk or max(1, SIMILARITIES // bank.widest)
    for part in queries.split(chunk):
        part = part.detach().float()
        yield bank.search(F.normalize(part, dim=1) if normalize else part)
