"""Which test files come first."""

# Files that take longest, in processor time: they come first, so that no process is left with one
# of them while the others have nothing to do.
LONG = (
    'test_packaging',
    'test_photos_journey',
    'test_tools_of_openmmlab',
    'test_reliability_configs',
    'test_train_stop',
    'test_docs',
    'test_docs_blocks',
    'test_tour',
    'test_extend',
    'test_site',
    'test_export',
    'test_photos',
    'test_train_dense',
    'test_train',
    'test_quickstart',
    'test_evidence',
    'test_train_resume',
    'test_monitor_hook',
    'test_selfsup_distributed_transformers',
    'test_reliability_files',
    'test_reliability_attacks',
    'test_reliability_kills',
    'test_api',
    'test_contributing',
    'test_registry',
)
