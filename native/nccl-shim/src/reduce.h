/* Reductions of one rank's slice: any number of sources to any number of destinations, in the order of a balanced binary tree. */
#ifndef DT_REDUCE_H
#define DT_REDUCE_H

#include <stdint.h>

enum { REDUCE_DTYPES = 6, REDUCE_OPS = 4, REDUCE_SOURCES_MAX = 128 };

/* destination[d][i] = source[0][i] op ... op source[sources-1][i], divided by divisor if that is above 1 (averages).
 * The tree: the left part holds the largest power of two below the number of sources. No alignment is needed; a destination may be
 * exactly a source, never overlap one otherwise. */
typedef void (*reduce_kernel)(char *const *destination, int32_t destinations, const char *const *source, int32_t sources, int64_t count,
                              int32_t divisor);

typedef struct reduce_table {
    int32_t vector_bits;
    reduce_kernel kernel[REDUCE_DTYPES][REDUCE_OPS];
} reduce_table;

/* The widest table that this machine runs. All give the same bits. */
const reduce_table *reduce_select(void);

/* Tables compiled into this library that this machine runs, narrowest first; for tests. */
int32_t reduce_tables(const reduce_table *tables[], int32_t capacity);

/* op may be DT_AVERAGE: a sum divided by the number of sources. */
void reduce(const reduce_table *table, int32_t dtype, int32_t op, char *const *destination, int32_t destinations, const char *const *source,
            int32_t sources, int64_t count);

#endif
