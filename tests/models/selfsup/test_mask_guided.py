"""Mask-guided attention bias, phases 1 and 2, against plain loops in float64."""

import copy
import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader, Dataset

from helpers import mae as plain_mae
from helpers.dino import (
    DIM,
    HEAD,
    VIT,
    B,
    build,
    head_reference,
    loss_reference,
    move_teacher,
    views,
)
from helpers.segments import vectors_by_hand
from mssl_plugins.evaluation.features import extract_features
from mssl_plugins.registry import DATASETS, MODELS
from mssl_plugins.segments.build import make
from mssl_plugins.segments.image_set import find_images

ROOT = Path(__file__).parents[3]
K = 3  # of up to 5 segments
GUIDED = dict(VIT, mask_bias=dict(positive=True, negative=True))
RELATIONS = dict(
    positive=dict(positive=True),
    negative=dict(positive=False, negative=True),
    both=dict(positive=True, negative=True),
)


def label_maps(sizes, batch=B, seed=0):
    """Blocky label maps (batch, S, S) of 0..5 for every view; the last image has none."""
    g = torch.Generator().manual_seed(seed)
    maps = [
        torch.randint(0, 6, (batch, s // 2, s // 2), generator=g, dtype=torch.uint8)
        .repeat_interleave(2, 1)
        .repeat_interleave(2, 2)
        for s in sizes
    ]
    for m in maps:
        m[-1] = 0
    return maps


def samples(maps):
    """Data samples as mssl_plugins.PackViews makes them."""
    out = []
    for i in range(len(maps[0])):
        sample = DataSample(metainfo=dict(img_path=f'images/{i}.png'))
        sample.set_field([m[i] for m in maps], 'view_segments')
        out.append(sample)
    return out


def batch(seed=0, local=2):
    x = views(seed, local)
    maps = label_maps([v.shape[2] for v in x], seed=seed)
    return x, maps, samples(maps)


# ------------------------------------------------------------------ reference
def normed(x, ln):
    mean = x.mean(-1, keepdim=True)
    var = (x - mean).square().mean(-1, keepdim=True)
    return (x - mean) / (var + ln.eps).sqrt() * ln.weight + ln.bias


def tokens_by_hand(vit, x, maps=None, keep=None):
    """One image, one head at a time, the bias written out pair by pair."""
    conv, heads = vit.patch_embed.projection, vit.arch_settings['num_heads']
    patch, width = conv.kernel_size[0], vit.embed_dims // heads
    rows = x.shape[2] // patch
    place = vit.resized_pos_embed((rows, rows))[0]
    vectors = None if maps is None else vectors_by_hand(maps.numpy(), patch, K)
    out = []
    for b in range(len(x)):
        kept = range(rows**2) if keep is None else keep[b].tolist()
        t = [vit.cls_token[0, 0] + place[0]]
        for i in kept:
            r, c = divmod(i, rows)
            cut = x[b, :, r * patch : (r + 1) * patch, c * patch : (c + 1) * patch]
            t.append((conv.weight * cut).sum((1, 2, 3)) + conv.bias + place[1 + i])
        t, n = torch.stack(t), len(t)
        same, other = torch.zeros(2, n, n, dtype=torch.float64)
        if maps is not None:
            for i, ci in enumerate(kept, 1):
                for j, cj in enumerate(kept, 1):  # row and column 0 are [CLS]
                    u, v = vectors[b, ci], vectors[b, cj]
                    same[i, j] = sum(u[k] * v[k] for k in range(K))
                    other[i, j] = sum(u[k] * v[m] for k in range(K) for m in range(K) if k != m)
        for number, layer in enumerate(vit.layers):
            y = normed(t, layer.ln1)
            qkv = y @ layer.attn.qkv.weight.T + layer.attn.qkv.bias
            q, k, v = qkv.view(n, 3, heads, width).permute(1, 2, 0, 3)
            seen = []
            for h in range(heads):
                logits = q[h] @ k[h].T / math.sqrt(width)
                bias = vit.mask_bias
                if maps is not None and bias.a is not None:
                    logits = logits + bias.a[number][h] * same
                if maps is not None and bias.b is not None:
                    logits = logits + bias.b[number][h] * other
                e = (logits - logits.max()).exp()
                seen.append(e / e.sum(1, keepdim=True) @ v[h])
            y = torch.cat(seen, 1)
            t = t + y @ layer.attn.proj.weight.T + layer.attn.proj.bias
            first, second = layer.ffn.layers[0][0], layer.ffn.layers[1]
            y = normed(t, layer.ln2) @ first.weight.T + first.bias
            y = 0.5 * y * (1 + torch.erf(y / math.sqrt(2)))
            t = t + y @ second.weight.T + second.bias
        out.append(normed(t, vit.ln1))
    return torch.stack(out)


def logits_by_hand(network, x, maps=None):
    prefixed = {f'head.{k}': v for k, v in network.head.named_parameters()}
    return head_reference(tokens_by_hand(network.backbone, x, maps)[:, 0], prefixed)


def same_gradients(model, ref, losses, expected):
    """One backward pass of each; every parameter's gradient agrees to 1e-6."""
    losses.backward()
    expected.backward()
    theirs, seen = dict(ref.named_parameters()), 0
    for name, p in model.named_parameters():
        if not p.requires_grad:
            assert p.grad is None, name
            continue
        torch.testing.assert_close(p.grad, theirs[name].grad, rtol=0, atol=1e-6, msg=name)
        seen += float(p.grad.abs().max()) > 0
    return seen


# -------------------------------------------------------------- phase 1, DINO
@pytest.mark.parametrize('relation', RELATIONS)
def test_phase_1_of_dino(relation):
    """Every crop with its own segments, for student and teacher; gradients of a and b too."""
    model = build(
        dict(GUIDED, mask_bias=RELATIONS[relation]), type='MaskGuidedDINO', num_segments=K
    ).double()
    move_teacher(model)
    ref, (x, maps, data) = copy.deepcopy(model), batch()
    loss = model.loss(x, data)['loss_dino']
    with torch.no_grad():
        teacher = [logits_by_hand(ref.teacher.module, v, m) for v, m in zip(x[:2], maps)]
    student = [logits_by_hand(ref.student, v, m) for v, m in zip(x, maps)]
    center = torch.zeros(len(ref.criterion.center))
    expected = loss_reference(student, teacher, center, 0.1, 0.04)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    same_gradients(model, ref, loss, expected)
    bias = dict(model.backbone.mask_bias.named_parameters())
    assert {k[0] for k in bias} == dict(positive={'a'}, negative={'b'}, both={'a', 'b'})[relation]
    for name, p in bias.items():  # [CLS] belongs to no segment: it reads the last layer as it is
        assert bool((p.grad != 0).all()) == (name[-1] == '0') and name[-1] in '01'
    assert all(p.grad is None for p in model.teacher.parameters())
    # the teacher has a bias of its own, which the teacher's update moves
    before = model.teacher.module.backbone.mask_bias.state_dict()
    before = {k: v.clone() for k, v in before.items()}
    model.teacher.update()
    for name, p in model.teacher.module.backbone.mask_bias.named_parameters():
        moved = 0.996 * before[name] + 0.004 * bias[name]
        torch.testing.assert_close(p, moved.detach(), rtol=0, atol=1e-12)


def mst_config(backbone, type='MST', **kwargs):
    return build(
        dict(backbone, mask_token=True),
        HEAD,
        type,
        q=0.25,
        bn_per_view=False,
        neck=dict(type='mssl_plugins.PixelDecoder', in_channels=DIM, patch_size=4, widths=(8, 6)),
        **kwargs,
    )


@pytest.mark.parametrize('base', ['DINO', 'MST', 'MAE'])
def test_a_bias_of_zero_is_the_plain_method(base):
    """At a = b = 0 losses equal bit for bit, whatever the segments; gradients to rounding."""
    x, _, data = batch()
    if base == 'MAE':
        guided, plain = guided_mae(), plain_mae.build()
        x, _, data = mae_batch()
    else:
        make = mst_config if base == 'MST' else build
        guided = make(GUIDED, type=f'MaskGuided{base}').double()
        plain = make(VIT, type=base).double()
        guided.teacher.sync()  # student and teacher agree, both biases are zero
        plain.teacher._checked = True
    for name, p in guided.named_parameters():
        if 'mask_bias' in name:
            p.data.zero_()
    state = {k: v for k, v in guided.state_dict().items() if 'mask_bias' not in k}
    plain.load_state_dict(state)
    results = []
    for model in (guided, plain):
        if base != 'MAE':
            model.teacher._checked = True
        torch.manual_seed(4)
        losses = model.loss(x, data)
        sum(v for k, v in losses.items() if 'loss' in k).backward()
        results.append((losses, {k: p.grad for k, p in model.named_parameters()}))
    (ours, grads), (theirs, expected) = results
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    for name, grad in expected.items():
        assert (grad is None) == (grads[name] is None)
        if grad is not None:
            torch.testing.assert_close(grads[name], grad, rtol=0, atol=1e-12, msg=name)
    assert float(grads['backbone.mask_bias.a.0'].abs().max()) > 0


def test_teacher_and_student_see_the_segments_of_their_views():
    model = build(GUIDED, type='MaskGuidedDINO', num_segments=K)
    x, maps, data = batch()
    x, calls = [v.float() for v in x], []
    for who, net in (('student', model.backbone), ('teacher', model.teacher.module.backbone)):

        def forward(images, _who=who, _plain=net.forward_tokens, **kwargs):
            calls.append((_who, kwargs['coverage']))
            return _plain(images, **kwargs)

        net.forward_tokens = forward
    model.loss(x, data)
    hands = [torch.from_numpy(vectors_by_hand(m.numpy(), 4, K)).float() for m in maps]
    expected = [('teacher', hands[:2]), ('student', hands[:2]), ('student', hands[2:])]
    assert [who for who, _ in calls] == [who for who, _ in expected]
    for (_, given), (_, wanted) in zip(calls, expected):
        torch.testing.assert_close(given, torch.cat(wanted))


# ---------------------------------------------------------- the frozen warm-up
class Guide(Dataset):
    def __init__(self, n=2 * B):
        self.views = [v.float() for v in views(7, batch=n)]
        self.samples = samples(label_maps([16, 16, 8, 8], n))

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        return dict(inputs=[v[i] for v in self.views], data_samples=self.samples[i])


class Record(Hook):
    """The bias of student and teacher after every epoch."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = []

    def after_train_epoch(self, runner):
        nets = runner.model.backbone, runner.model.teacher.module.backbone
        self.seen.append(
            [torch.cat(list(net.mask_bias.parameters())).abs().max().item() for net in nets]
        )


def test_the_bias_stands_still_and_thaws(tmp_path):
    model = build(
        GUIDED, type='MaskGuidedDINO', num_segments=K, data_preprocessor=dict(mean=None, std=None)
    )
    for p in model.backbone.mask_bias.parameters():
        p.data.zero_()
    record = Record()
    loader = DataLoader(Guide(), batch_size=B, collate_fn=default_collate)
    Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=loader,
        experiment_name=tmp_path.name,
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01, weight_decay=0.1)),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        default_scope='mmpretrain',
        default_hooks=dict(checkpoint=None, logger=None),
        custom_hooks=[
            record,
            dict(type='mssl_plugins.TeacherHook'),
            dict(type='mssl_plugins.FreezeHook', names='backbone.mask_bias', length=2),
        ],
    ).train()
    assert record.seen[:2] == [[0, 0], [0, 0]]
    assert record.seen[2][0] > 0.01 and record.seen[2][1] > 0


# --------------------------------------------------------------- phase 1, MAE
def mae_batch(seed=1):
    maps = label_maps([plain_mae.SIZE], plain_mae.B, seed)
    return [plain_mae.images(seed=seed)], maps, samples(maps)


def guided_mae(relation='both', **kwargs):
    cfg = plain_mae.config('MaskGuidedMAE', num_segments=K, **kwargs)
    cfg['backbone']['mask_bias'] = RELATIONS[relation]
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.double()


@pytest.mark.parametrize('relation, unit', [('positive', 1), ('negative', 2), ('both', 2)])
def test_phase_1_of_mae(relation, unit):
    """The encoder sees the vectors of its visible tokens; masks of unit x unit tokens."""
    model = guided_mae(relation, mask_unit=unit, mask_ratio=0.5)
    assert not torch.cat(list(model.backbone.mask_bias.parameters())).any()  # starts at 0
    for p in model.backbone.mask_bias.parameters():
        p.data.normal_()
    ref, (x, maps, data) = copy.deepcopy(model), mae_batch()
    torch.manual_seed(5)
    loss = model.loss(x, data)['loss_mae']
    torch.manual_seed(5)
    keep, masked = ref.sample_mask(x[0])
    visible = (
        torch.zeros(len(x[0]), plain_mae.GRID, plain_mae.GRID).flatten(1).scatter(1, keep, 1.0)
    )
    cells = visible.view(-1, plain_mae.GRID // unit, unit, plain_mae.GRID // unit, unit)
    assert set(cells.mean((2, 4)).flatten().tolist()) == {0.0, 1.0}  # whole cells, some of each
    tokens = tokens_by_hand(ref.backbone, x[0], maps[0], keep)
    order = torch.cat([keep, masked], 1)
    prediction = plain_mae.decoder(ref.neck)(tokens, order.argsort(1))
    assert float(loss.detach()) == pytest.approx(
        plain_mae.slow_loss(prediction, x[0], masked), abs=1e-6
    )
    target = ref.target(x[0], masked)
    taken = torch.stack([p[m] for p, m in zip(prediction, masked)])
    same_gradients(model, ref, loss, (taken - target).square().mean())


# -------------------------------------------------------------------- phase 2
@pytest.fixture
def phase1(tmp_path):
    """A phase-1 DINO with a teacher that differs, and its checkpoint."""
    model = build(GUIDED, type='MaskGuidedDINO', num_segments=K)
    move_teacher(model)
    model.teacher.update()
    model.criterion.center.normal_()
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'phase1.pth')
    return model, tmp_path / 'phase1.pth'


def student(checkpoint, seed=1, **teacher):
    torch.manual_seed(seed)
    teacher = dict(dict(backbone=dict(mask_bias=RELATIONS['both'])), **teacher)
    model = MODELS.build(
        dict(
            type='mssl_plugins.MaskGuidedDINODistill',
            backbone=VIT,
            head=HEAD,
            num_segments=K,
            teacher=dict(checkpoint=str(checkpoint), **teacher),
            criterion=dict(teacher_temp=0.06),
        )
    )
    model.init_weights()
    for p in model.student.parameters():
        if p.requires_grad:
            p.data += 0.2 * torch.randn_like(p)
    return model


@pytest.mark.parametrize('branch', ['teacher', 'student'])
def test_phase_2_of_dino(phase1, branch):
    """Eq. 4: no center, the teacher with segments, the student without; gradients too."""
    guide, path = phase1
    model = student(path, **({} if branch == 'teacher' else dict(branch=branch))).double()
    ref, (x, maps, data) = copy.deepcopy(model), batch(3)
    model.train()
    loss = model.loss(x, data)['loss_distill']
    network = guide.teacher.module if branch == 'teacher' else guide.student
    network = network.double()
    with torch.no_grad():
        teacher = [logits_by_hand(network, v, m) for v, m in zip(x[:2], maps)]
    plain = [logits_by_hand(ref.student, v) for v in x]
    nothing = torch.zeros(len(model.criterion.center))
    expected = loss_reference(plain, teacher, nothing, 0.1, 0.06)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    assert same_gradients(model, ref, loss, expected) > 10
    assert all(p.grad is None and not p.requires_grad for p in model.teacher.parameters())
    assert not model.criterion.center.any()  # nor did it move


def test_the_student_of_phase_2_is_plain(phase1):
    model = student(phase1[1])
    state = model.state_dict()
    assert not [k for k in state if 'mask_bias' in k and not k.startswith('teacher.')]
    assert 'criterion.center' not in state
    x, _, data = batch()
    x, calls = [v.float() for v in x], []
    plain = model.backbone.forward_tokens
    model.backbone.forward_tokens = lambda images, **kw: calls.append(kw) or plain(images, **kw)
    first = model.loss(x, data)['loss_distill']
    assert calls == [{}, {}]
    # the segments of local crops do not matter, those of global views do
    changed = samples(label_maps([16, 16, 8, 8], seed=0)[:2] + label_maps([8, 8], seed=9))
    assert torch.equal(first, model.loss(x, changed)['loss_distill'])
    changed = samples(label_maps([16, 16], seed=9))
    assert not torch.equal(first, model.loss(x, changed)['loss_distill'])


def test_the_teacher_of_phase_2_stands_still(phase1):
    model = student(phase1[1]).train()
    assert not any(m.training for m in model.teacher.modules())
    before = {k: v.clone() for k, v in model.teacher.state_dict().items()}
    x, _, data = batch()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    model.loss([v.float() for v in x], data)['loss_distill'].backward()
    optimizer.step()
    assert all(torch.equal(v, before[k]) for k, v in model.teacher.state_dict().items())
    assert torch.equal(
        before['module.backbone.cls_token'], phase1[0].teacher.module.backbone.cls_token
    )


def test_phase_2_of_mae(tmp_path):
    """Our choice: one minus the cosine, token by token, of the whole image."""
    guide = guided_mae('positive')
    for p in guide.backbone.mask_bias.parameters():
        p.data.normal_()
    torch.save(dict(state_dict=guide.state_dict()), tmp_path / 'mae.pth')
    backbone = plain_mae.config()['backbone']
    model = MODELS.build(
        dict(
            type='mssl_plugins.MaskGuidedMAEDistill',
            backbone=backbone,
            num_segments=K,
            teacher=dict(checkpoint=str(tmp_path / 'mae.pth')),
        )
    ).double()
    model.init_weights()
    model.double()
    ref, (x, maps, data) = copy.deepcopy(model), mae_batch()
    loss = model.loss(x, data)['loss_distill']
    with torch.no_grad():
        target = tokens_by_hand(guide.backbone, x[0], maps[0])
    ours, total = tokens_by_hand(ref.backbone, x[0]), 0.0
    for a, b in zip(ours.flatten(0, 1), target.flatten(0, 1)):
        total = total + 1 - (a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()
    expected = total / (len(x[0]) * (plain_mae.LENGTH + 1))
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    assert same_gradients(model, ref, loss, expected) > 10
    assert all(p.grad is None for p in model.teacher.parameters())


# ------------------------------------------------------- from the segment store
def test_from_the_segment_store_to_the_loss(image_folder, tmp_path):
    """A shipped config on other images: file, transform, views, one step."""
    pytest.importorskip('skimage')
    make(find_images(str(image_folder)), str(tmp_path / 'segments'), 'felzenszwalb', shown=False)
    cfg = Config.fromfile(
        ROOT / 'configs/mask_guided/mask-guided_dino_vit-mini_1xb64-coslr-6e_cifar10.py'
    )
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline[0].segments = str(tmp_path / 'segments')
    data = DATASETS.build(
        dict(type='mssl_plugins.ImageFolder', data_root=str(image_folder), pipeline=pipeline)
    )
    model = MODELS.build(cfg.model)
    ready = model.data_preprocessor(default_collate([data[i] for i in range(4)]))
    shapes = [tuple(v.shape[2:]) for v in ready['inputs']]
    assert shapes == [tuple(s.shape) for s in ready['data_samples'][0].view_segments]
    assert max(int(s.view_segments[0].max()) for s in ready['data_samples']) > 1
    assert model.loss(**ready)['loss_dino'].isfinite()


# ----------------------------------------------------------------- evaluation
def test_features_take_segments_where_the_samples_have_them():
    """k-NN and the other measures see f(image, segments), or the image alone."""
    model = build(
        GUIDED, type='MaskGuidedDINO', num_segments=K, data_preprocessor=dict(mean=None, std=None)
    ).eval()
    model.teacher.sync()
    x, maps, data = batch()
    with_, without = (
        extract_features(
            model,
            [dict(inputs=v, data_samples=s) for v, s in zip(x[0].float(), given)],
            branch='teacher',
        )[0]
        for given in (data, [DataSample() for _ in data])
    )
    net = model.teacher.module.backbone.double()
    torch.testing.assert_close(
        with_.double(), tokens_by_hand(net, x[0], maps[0])[:, 0], rtol=0, atol=1e-5
    )
    torch.testing.assert_close(without.double(), tokens_by_hand(net, x[0])[:, 0], rtol=0, atol=1e-5)
    assert not torch.allclose(with_, without, atol=1e-3)


def test_losses_are_float32_under_bf16(phase1):
    x, _, data = batch()
    x = [v.float() for v in x]
    with torch.autocast('cpu', torch.bfloat16):
        losses = {**phase1[0].loss(x, data), **student(phase1[1]).loss(x, data)}
    assert set(losses) == {'loss_dino', 'loss_distill'}
    assert all(v.dtype == torch.float32 and v.isfinite() for v in losses.values())


# ---------------------------------------------------------------- wrong input
def test_missing_segments_are_counted_and_named():
    model = build(GUIDED, type='MaskGuidedDINO')
    x, maps, data = batch()
    x = [v.float() for v in x]
    for sample in data[1:3]:
        del sample.view_segments
    with pytest.raises(
        ValueError,
        match=f'2 of {B} samples have no segments for view 0, the '
        'first: images/1.png, images/2.png; put .*LoadSegments',
    ):
        model.loss(x, data)
    with pytest.raises(ValueError, match='no data samples: put .*LoadSegments'):
        model.loss(x)
    with pytest.raises(ValueError, match=f'{B} of {B} samples have no segments for view 2'):
        model.loss(x, samples(maps[:2]))


def test_segments_of_8_and_16_bit_share_a_batch():
    """PNG maps of up to 255 segments are uint8, others become int64."""
    model = build(GUIDED, type='MaskGuidedDINO', num_segments=K)
    model.train(False)  # the center stays
    x, maps, data = batch()
    wide = samples([m.long() for m in maps])
    losses = [
        model.loss([v.float() for v in x], given)['loss_dino']
        for given in (data, [data[0], *wide[1:]])
    ]
    assert torch.equal(*losses)


def test_size_that_patches_do_not_tile():
    x = [torch.zeros(B, 3, 18, 18)] * 2
    data = samples(label_maps([18, 18]))
    with pytest.raises(ValueError, match='view 0 of 18 x 18 px is not divisible by the patch'):
        build(GUIDED, type='MaskGuidedDINO').loss(x, data)


@pytest.mark.parametrize('type', ['MaskGuidedDINO', 'MaskGuidedMAE'])
def test_a_plain_backbone_cannot_be_guided(type):
    cfg = (
        plain_mae.config(type)
        if type.endswith('MAE')
        else dict(type='mssl_plugins.' + type, backbone=VIT, head=HEAD)
    )
    with pytest.raises(ValueError, match=r'mask_bias=dict\(positive=True'):
        MODELS.build(cfg)


def test_phase_2_needs_a_checkpoint_and_a_plain_student(phase1, tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        student(tmp_path / 'nowhere.pth')
    with pytest.raises(ValueError, match="did you mean 'teacher'"):
        student(phase1[1], branch='techer')
    with pytest.raises(ValueError, match="did you mean 'checkpoint'"):
        student(phase1[1], chekpoint='x')
    with pytest.raises(ValueError, match=r'teacher=dict\(checkpoint='):
        student('')
    with pytest.raises(ValueError, match='the student of phase 2 is a plain'):
        MODELS.build(
            dict(
                type='mssl_plugins.MaskGuidedDINODistill',
                backbone=GUIDED,
                head=HEAD,
                teacher=dict(checkpoint=str(phase1[1])),
            )
        )
    model = MODELS.build(
        dict(
            type='mssl_plugins.MaskGuidedDINODistill',
            backbone=VIT,
            head=HEAD,
            teacher=dict(checkpoint=str(phase1[1]), backbone=dict(mask_bias=RELATIONS['both'])),
        )
    )
    x, _, data = batch()
    model.load_state_dict(build().state_dict(), strict=False)  # a plain DINO brings no teacher
    with pytest.raises(ValueError, match='has not been loaded: call init_weights'):
        model.loss([v.float() for v in x], data)
    model.load_state_dict(student(phase1[1]).state_dict())  # its own checkpoint does
    assert model.loss([v.float() for v in x], data)['loss_distill'].isfinite()


@pytest.mark.parametrize(
    'teacher, text',
    [
        (
            dict(backbone=dict(patch_size=8, mask_bias=RELATIONS['both'])),
            'patches of 4 px, the teacher of this config 8 px: set teacher.backbone.patch_size=4',
        ),
        (dict(backbone={}), 'another architecture.* unexpected: backbone.mask_bias.b.0'),
        (
            dict(
                backbone=dict(
                    mask_bias=RELATIONS['both'],
                    arch=dict(embed_dims=DIM, num_layers=3, num_heads=2, feedforward_channels=24),
                )
            ),
            'another architecture.* missing: backbone.layers.2.ln1.weight',
        ),
        (dict(head=dict(out_channels=9)), r'head.last_layer.weight_v \(6, 5\) instead of \(9, 5\)'),
    ],
)
def test_a_teacher_that_does_not_fit(phase1, teacher, text):
    with pytest.raises(ValueError, match=text):
        student(phase1[1], **teacher)


def test_a_checkpoint_of_another_kind(tmp_path):
    plain = build(type='DINO')
    torch.save(dict(state_dict=plain.state_dict()), tmp_path / 'dino.pth')
    with pytest.raises(ValueError, match='dino.pth holds no attention bias: phase 2 distills'):
        student(tmp_path / 'dino.pth')
    torch.save(dict(state_dict=plain_mae.build().state_dict()), tmp_path / 'mae.pth')
    with pytest.raises(
        ValueError,
        match="mae.pth holds no teacher network, no key begins with 'teacher.module.backbone.'",
    ):
        student(tmp_path / 'mae.pth')


def test_phase_2_of_mae_compares_tokens(tmp_path):
    cfg = dict(
        type='mssl_plugins.MaskGuidedMAEDistill',
        backbone=plain_mae.config()['backbone'],
        teacher=dict(checkpoint='x.pth', backbone=dict(patch_size=4)),
    )
    with pytest.raises(ValueError, match='student has patches of 2 px .* the teacher 4 px'):
        MODELS.build(cfg)
    cfg['teacher'].pop('backbone')
    model = MODELS.build(cfg)
    with pytest.raises(ValueError, match='takes 1 view, got 2'):
        model.loss([plain_mae.images().float()] * 2, mae_batch()[2])
