// What makes and reads the tape; compiled for speed, unlike the bindings, of which there are many.
#define NO_IMPORT_ARRAY  // module.h does it

#include "call.h"
#include "glances.h"
#include "reshape.h"
#include "walk.h"
