"""Embed many pictures or texts once, then search them as often as you like.

items = open_items("pictures")  # a folder, a list of paths, or shards
index = embed(model, processor, items, "out", origin="tiny")
find(index, model, processor, "two dogs on a beach")  # or images=photo
"""

from siglip_lab.search.answers import Hit, find
from siglip_lab.search.embedding import embed
from siglip_lab.search.exact import nearest
from siglip_lab.search.index import Index, open_index
from siglip_lab.search.items import Items, open_items
from siglip_lab.search.manifest import Manifest
from siglip_lab.search.page import write_page

__all__ = [
    "Hit", "Index", "Items", "Manifest", "embed", "find", "nearest", "open_index", "open_items",
    "write_page",
]  # fmt: skip
