#include "reduce.h"

#include "disttrain_shim.h"

extern const reduce_table reduce_table_128;
#if defined(__x86_64__)
extern const reduce_table reduce_table_256, reduce_table_512;
#endif

int32_t reduce_tables(const reduce_table *tables[], int32_t capacity) {
    int32_t count = 0;
    if (count < capacity) tables[count++] = &reduce_table_128;
#if defined(__x86_64__)
    if (count < capacity && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) tables[count++] = &reduce_table_256;
    if (count < capacity && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        tables[count++] = &reduce_table_512;
#endif
    return count;
}

const reduce_table *reduce_select(void) {
    const reduce_table *tables[3];
    return tables[reduce_tables(tables, 3) - 1];
}

void reduce(const reduce_table *table, int32_t dtype, int32_t op, char *const *destination, int32_t destinations, const char *const *source,
            int32_t sources, int64_t count) {
    if (count <= 0) return;
    int32_t divisor = op == DT_AVERAGE ? sources : 1;
    table->kernel[dtype][op == DT_AVERAGE ? DT_SUM : op](destination, destinations, source, sources, count, divisor);
}
