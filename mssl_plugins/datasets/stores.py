"""Images in any store that MMEngine's file back ends read: HTTP, S3 (petrel), LMDB, memcached."""

import os

from mmengine.fileio import get_file_backend
from mmengine.fileio.backends import backends

from mssl_plugins.errors import unknown


class Store:
    """A back end of ``mmengine.fileio``, which each process opens for itself.

    Args:
        args (dict): ``backend``, the name of a back end that is registered with MMEngine,
            and the arguments of that back end.

    Raises:
        ValueError: If there is no such back end.
    """

    def __init__(self, args: dict) -> None:
        self.args, self._opened = dict(args), None
        if self.args.get('backend') not in backends:
            raise unknown(self.args.get('backend'), sorted(backends), 'backend of backend_args')

    def __reduce__(self):
        return type(self), (self.args,)

    def get(self, path: str) -> bytes:
        """The content at a path.

        Raises:
            OSError: If the back end gives none; its own errors are of many kinds.
        """
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), get_file_backend(backend_args=dict(self.args))
        try:
            data = self._opened[1].get(path)
        except Exception as error:
            raise OSError(f'{type(error).__name__}: {error}') from error
        if data is None:
            raise OSError(f'{self.args["backend"]} has no such file')
        return bytes(data)
