"""Azure's blobs as fsspec's adlfs has them, but with every name that a blob may have.

Nobody but `stemsmith.manifests.stores` uses it. Of adlfs it replaces some things: names are taken
as they are (adlfs reads ``?`` and ``#`` as those of a URL); a list is of what is below a name, also
where there is a blob of that name or others begin alike; of many blobs that are removed, each is
(adlfs ends with the first that is gone, and hides why it failed); and a question is asked once and
given up in time, since `stemsmith.manifests.stores` is who asks again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from typing import Any

from adlfs import AzureBlobFileSystem
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient
from fsspec.asyn import sync_wrapper

__all__ = ["AzureStore"]

_REMOVED_AT_ONCE = 100  # blobs; a connection that others keep from us for long is given up


class AzureStore(AzureBlobFileSystem):  # type: ignore[misc]  # adlfs ships no types
    """A store of the account that the environment names.

    Parameters
    ----------
    connecting_s, reading_s : float
        Seconds after which a connection that is not made, or says nothing, is given up.
    **options : dict
        As adlfs has them.
    """

    service_client: Any

    def __init__(self, connecting_s: float, reading_s: float, **options: Any) -> None:
        self._limits = {"connection_timeout": connecting_s, "read_timeout": reading_s}
        logging.getLogger("azure.identity").setLevel(logging.ERROR)  # what it warns of is raised
        super().__init__(**options)

    def do_connect(self) -> None:
        """Make the client, which adlfs cannot be told to make with limits of our own."""
        super().do_connect()
        made = self.service_client
        self.service_client = BlobServiceClient(
            made.url, credential=made.credential, retry_total=0, **self._limits
        )

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return path  # `ObjectPath` gives names without it

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[dict[str, Any]]:
        container, name, _version = self.split_path(path)
        async with self.service_client.get_container_client(container) as client:
            begin = f"{name}/" if name else ""
            found = client.walk_blobs(begin, include=["metadata"], delimiter="/")
            return await self._told(found, path)

    async def _find(self, path: str, detail: bool = True, **_: Any) -> dict[str, dict[str, Any]]:
        container, name, _version = self.split_path(path)
        async with self.service_client.get_container_client(container) as client:
            begin = f"{name}/" if name else ""
            found = client.list_blobs(begin, include=["metadata"])
            files = (one async for one in found if not one.name.endswith("/"))
            return {entry["name"]: entry for entry in await self._told(files, path)}

    async def _rm(self, path: list[str], **_: Any) -> None:
        container = self.split_path(path[0])[0]
        names = [self.split_path(one)[1] for one in path]
        async with self.service_client.get_container_client(container) as client:
            for start in range(0, len(names), _REMOVED_AT_ONCE):
                some = names[start : start + _REMOVED_AT_ONCE]
                removals = [client.delete_blob(name) for name in some]
                for outcome in await asyncio.gather(*removals, return_exceptions=True):
                    if isinstance(outcome, BaseException) and not isinstance(
                        outcome, ResourceNotFoundError
                    ):
                        raise outcome

    rm = sync_wrapper(_rm)

    async def _told(self, found: Any, path: str) -> list[dict[str, Any]]:
        """Return what is known of blobs and of what looks like folders.

        Raises
        ------
        FileNotFoundError
            If there are none.
        """
        try:
            entries: list[dict[str, Any]] = await self._details([one async for one in found])
        except ResourceNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
        if not entries:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return entries
