from mssl_plugins.api import Features as Features
from mssl_plugins.api import Trained as Trained
from mssl_plugins.api import evaluate as evaluate
from mssl_plugins.api import extract_features as extract_features
from mssl_plugins.api import get_config as get_config
from mssl_plugins.api import get_model as get_model
from mssl_plugins.api import list_models as list_models
from mssl_plugins.api import train as train

__version__: str
