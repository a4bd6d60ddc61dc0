#include "best.h"

#include <stdlib.h>

static int before(const Entry *a, const Entry *b) {
    return a->score > b->score || (a->score == b->score && a->id < b->id);
}

static int by_identity(const void *x, const void *y) {
    const Entry *a = x, *b = y;
    if (a->identity != b->identity) return a->identity < b->identity ? -1 : 1;
    return before(a, b) ? -1 : before(b, a);
}

static int by_score(const void *x, const void *y) { return before(x, y) ? -1 : before(y, x); }

size_t best_capacity(size_t top) { return top > SMALL_TOP ? 3 * top : top; }

void settle(Best *best, size_t top) {
    size_t kept = 0;
    qsort(best->kept, best->held, sizeof(Entry), by_identity);
    for (size_t i = 0; i < best->held; i++)
        if (kept == 0 || best->kept[i].identity != best->kept[kept - 1].identity) best->kept[kept++] = best->kept[i];
    qsort(best->kept, kept, sizeof(Entry), by_score);
    best->count = best->held = kept < top ? kept : top;
    if (best->count == top && best->kept[top - 1].score > best->floor) best->floor = best->kept[top - 1].score;
}

void keep(Best *best, Entry entry, size_t top) {
    if (top > SMALL_TOP) {
        best->kept[best->held++] = entry;
        if (best->held == best_capacity(top)) settle(best, top);
        return;
    }
    if (best->count == top && !before(&entry, &best->kept[top - 1])) return;
    size_t gap = best->count;
    for (size_t i = 0; i < best->count; i++)
        if (best->kept[i].identity == entry.identity) {
            if (!before(&entry, &best->kept[i])) return;
            gap = i;
            break;
        }
    if (gap == best->count) {
        if (best->count < top) best->count++;
        else gap = top - 1;
    }
    for (; gap > 0 && before(&entry, &best->kept[gap - 1]); gap--) best->kept[gap] = best->kept[gap - 1];
    best->kept[gap] = entry;
    best->held = best->count;
    if (best->count == top && best->kept[top - 1].score > best->floor) best->floor = best->kept[top - 1].score;
}
