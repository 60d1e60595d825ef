# Weighted k-NN on frozen, L2-normalized features (MST, supplement section 4): nothing is trained,
# the hook measures before the first of 0 epochs.
ks, temperature, epochs = [10, 20, 100, 200], 0.07, 0
model = dict(
    type='mssl_plugins.ProbeClassifier',
    head=dict(type='mmpretrain.LinearClsHead', loss=dict(type='mmpretrain.CrossEntropyLoss')),
)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
