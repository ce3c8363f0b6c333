// What families that are compiled by themselves find in the extension (tensorlite/backend/kernels/build.py).
#pragma once

#define TL_SHARED __attribute__((visibility("default")))
