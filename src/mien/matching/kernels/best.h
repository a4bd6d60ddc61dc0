/* The best identities of one probe so far. */
#ifndef MIEN_BEST_H
#define MIEN_BEST_H

#include <stddef.h>

#include "search.h"

/* Up to so many are kept sorted all the time; more are sorted once in a while. */
#define SMALL_TOP 128

typedef struct {
    Entry *kept;   /* sorted, best first */
    size_t count, held;
    float floor;   /* a row below this cannot matter: the score of the last of `top`, or the threshold */
} Best;

/* How many entries must fit into `kept`. */
size_t best_capacity(size_t top);

/* Keep an entry, if it is one of the best `top` identities; equal scores: lower id first. */
void keep(Best *best, Entry entry, size_t top);

/* For a large top: sort what has come together, one entry an identity, the best `top`. */
void settle(Best *best, size_t top);

#endif
