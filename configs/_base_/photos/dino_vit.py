# DINO on somebody's own images: dino/deit-s.py's recipe, with 4,096 prototypes (ours: 65,536 are
# for a million images) and ViT-T/16 beside ViT-S/16.
_base_ = '../dino/deit-s.py'

prototypes = 4096
model = dict(head=dict(out_channels=prototypes))
vit_tiny = dict(backbone=dict(arch='deit-tiny'), head=dict(in_channels=192))
