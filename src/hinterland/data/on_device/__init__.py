"""Batches made on the device that trains: gathered from memory and augmented together.

`volumes` are voxels on the device: whole cases (`residents`), or boxes that worker processes cut
out (`crops`). `draws` says what is in a batch, by the same rules and numbers as for patches one by
one; a recipe (`nnunet_recipe`, `poses`) says how each item is changed; and `batches` carries it
out: `gather` cuts and mirrors, `warp` turns and scales, `intensity` does the rest. `ahead` is one
batch ahead of the network.
"""
