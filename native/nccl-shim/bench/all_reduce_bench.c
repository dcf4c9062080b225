/* All-reduce of f32 sums: registered and ordinary memory, the ring over dt_exchange, the bound of the memory (two ranks), and MPI where it is
 * built in. Every rank writes its whole buffer before each call, as a backward pass does, and only the call is timed. The forms take turns
 * in small batches; a line gives medians over the batches, ratios are medians of the batches' ratios.
 *
 *   all_reduce_bench RANKS [BATCHES] [FIRST_BYTES LAST_BYTES]      forks the ranks
 *   mpirun -n RANKS all_reduce_bench_mpi RANKS [...]               joins MPI's
 * Environment: FORMS=registered,bound (some only), SEGMENT=bytes, HUGE=1,
 * QUIET=1 (the lowest eighth instead of the median, of calls and of batches). */
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_MPI
#include <mpi.h>
#endif

#include "disttrain_shim.h"

enum { LARGEST = 64 << 20, BATCHES_MAX = 101 };
enum { BOUND, REGISTERED, ORDINARY, RING, RING_REGISTERED, MPI_FORM, OVER_MPI, RING_OVER_MPI, FORMS };
static const char *form_names[FORMS] = {"bound", "registered", "ordinary", "ring", "ring/reg", "mpi", "dt-over-mpi", "rings-over-mpi"};

static dt_comm *comm, *over_mpi;
static int rank, world;
static float *registered, *ordinary, *mpi_buffer;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(dt_status status) {
    char text[1024] = "";
    if (status == DT_OK) return;
    if (comm) dt_last_error(comm, text, sizeof text);
    fprintf(stderr, "rank %d: %s: %s\n", rank, dt_status_text(status), text);
    exit(1);
}

/* ---- The bound: two processes, both buffers mapped by both, flag barriers ---- */
typedef struct flag {
    _Alignas(128) _Atomic long value;
} flag;
static flag *flags;
static float *mapped[2];
static long turn;

static void flag_barrier(void) {
    atomic_store_explicit(&flags[rank].value, ++turn, memory_order_release);
    while (atomic_load_explicit(&flags[1 - rank].value, memory_order_acquire) < turn) __builtin_ia32_pause();
}

static void bound(long elements) {
    long half = elements / 2;
    float *restrict a = mapped[0] + rank * half, *restrict b = mapped[1] + rank * half;
    flag_barrier();
    for (long i = 0; i < half; i++) {
        float sum = a[i] + b[i];
        a[i] = sum, b[i] = sum;
    }
    flag_barrier();
}

/* The bound's memory comes from dt_alloc too: one mapping of all parts. */
static void prepare_bound(void) {
    void *memory;
    int64_t mine;
    int64_t all[2];
    must(dt_alloc(comm, LARGEST + 4096, 0, &memory));
    mine = (int64_t)(intptr_t)memory;
    char *base = (char *)memory - rank * (int64_t)(LARGEST + 4096);
    (void)mine, (void)all;
    mapped[0] = (float *)base;
    mapped[1] = (float *)(base + LARGEST + 4096);
    flags = (flag *)(base + LARGEST);
}

/* ---- The ring, in segments ---- */
static void ring(dt_comm *by, long segment, float *data, long elements) {
    int next = (rank + 1) % world, before = (rank + world - 1) % world;
    long share = (elements + world - 1) / world;
    for (int step = 0; step < 2 * (world - 1); step++) {
        long out = (rank - step + 2 * world) % world, in = (out + world - 1) % world;
        for (long at = 0; at < share; at += segment) {
            long from = out * share + at, to = in * share + at;
            long sends = share - at < segment ? share - at : segment, receives = sends;
            if (from + sends > elements) sends = elements > from ? elements - from : 0;
            if (to + receives > elements) receives = elements > to ? elements - to : 0;
            dt_transfer both[2] = {{DT_VERB_SEND, next, DT_F32, 0, data + from, sends},
                                   {step < world - 1 ? DT_VERB_RECV_REDUCE : DT_VERB_RECV, before, DT_F32, DT_SUM, data + to, receives}};
            must(dt_exchange(by, both, 2));
        }
    }
}

static float *buffer_of(int form) {
    switch (form) {
    case BOUND: return mapped[rank & 1];
    case REGISTERED:
    case RING_REGISTERED: return registered;
    case MPI_FORM:
    case OVER_MPI:
    case RING_OVER_MPI: return mpi_buffer;
    default: return ordinary;
    }
}

static void call(int form, long elements) {
    float *data = buffer_of(form);
    switch (form) {
    case BOUND: bound(elements); break;
    case RING:
    case RING_REGISTERED: ring(comm, 32768, data, elements); break;
#ifdef WITH_MPI
    case OVER_MPI: must(dt_all_reduce(over_mpi, data, data, elements, DT_F32, DT_SUM)); break;
    case RING_OVER_MPI: ring(over_mpi, LARGEST, data, elements); break; /* the transport cuts into segments itself */
    case MPI_FORM: MPI_Allreduce(MPI_IN_PLACE, data, (int)elements, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); break;
#endif
    default: must(dt_all_reduce(comm, data, data, elements, DT_F32, DT_SUM)); break;
    }
}

static int by_value(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* QUIET: the lowest eighth, what a machine that others load does when they let it. */
static double median(const double *values, int count) {
    double sorted[BATCHES_MAX];
    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, by_value);
    return sorted[getenv("QUIET") ? count / 8 : count / 2];
}

/* Seconds a call of a batch, on the slowest rank: the median, or where ranks outnumber cores the mean (there a rank that comes last finds all
 * others waiting: its own short calls say nothing). */
static double batch(int form, long elements, int repeats) {
    double seconds[BATCHES_MAX];
    float *data = buffer_of(form);
    for (int i = 0; i < repeats; i++) {
        for (long j = 0; j < elements; j++) data[j] = (float)(rank + i + 1);
        if (form == BOUND)
            flag_barrier();
#ifdef WITH_MPI
        else if (form >= MPI_FORM)
            MPI_Barrier(MPI_COMM_WORLD);
#endif
        else
            must(dt_barrier(comm));
        double start = now();
        call(form, elements);
        seconds[i] = now() - start;
    }
    float wanted = 0;
    for (int r = 0; r < world; r++) wanted += (float)(r + repeats);
    for (long j = 0; j < elements; j += 1 + elements / 1000)
        if (data[j] != wanted) fprintf(stderr, "%s: element %ld is %g, wanted %g\n", form_names[form], j, data[j], wanted), exit(1);
    double typical = 0;
    for (int i = 0; i < repeats; i++) typical += seconds[i] / repeats;
    if (world <= sysconf(_SC_NPROCESSORS_ONLN)) typical = median(seconds, repeats);
    must(dt_all_reduce(comm, &typical, &typical, 1, DT_F64, DT_MAX));
    return typical;
}

static double median_ratio(double *above, double *below, int count) {
    double ratios[BATCHES_MAX];
    if (getenv("QUIET")) return median(above, count) / median(below, count);
    for (int i = 0; i < count; i++) ratios[i] = above[i] / below[i];
    return median(ratios, count);
}

/* FORMS: names between commas, whole. */
static bool chosen(int form) {
    char list[512], name[64];
    snprintf(list, sizeof list, ",%s,", getenv("FORMS"));
    snprintf(name, sizeof name, ",%s,", form_names[form]);
    return strstr(list, name) != NULL;
}

static void measure(long bytes, int batches, const bool *enabled) {
    static double times[FORMS][BATCHES_MAX];
    long elements = bytes / 4;
    int repeats = bytes <= 65536 ? 50 : bytes <= 1 << 20 ? 10 : bytes <= 8 << 20 ? 3 : 1;
    for (int b = -1; b < batches; b++)
        for (int form = 0; form < FORMS; form++) {
            if (!enabled[form]) continue;
            double seconds = batch(form, elements, repeats);
            if (b >= 0) times[form][b] = seconds;
        }
    if (rank != 0) return;
    printf("%9ld B ", bytes);
    for (int form = 0; form < FORMS; form++)
        if (enabled[form]) {
            double t = median(times[form], batches);
            printf("| %s %9.2f us %6.2f GB/s ", form_names[form], t * 1e6, 2.0 * (world - 1) / world * (double)bytes / t / 1e9);
        }
    printf("|");
    if (enabled[BOUND] && enabled[REGISTERED] && enabled[ORDINARY]) printf(" share of the bound: reg %.2f ord %.2f", median_ratio(times[BOUND], times[REGISTERED], batches),
                               median_ratio(times[BOUND], times[ORDINARY], batches));
    if (enabled[MPI_FORM] && enabled[REGISTERED] && enabled[ORDINARY]) printf(" x MPI: reg %.2f ord %.2f", median_ratio(times[MPI_FORM], times[REGISTERED], batches),
                                  median_ratio(times[MPI_FORM], times[ORDINARY], batches));
    if (enabled[OVER_MPI] && enabled[MPI_FORM]) printf(" dt over MPI %.2f", median_ratio(times[MPI_FORM], times[OVER_MPI], batches));
    if (enabled[RING_OVER_MPI] && enabled[MPI_FORM]) printf(" ring over MPI %.2f", median_ratio(times[MPI_FORM], times[RING_OVER_MPI], batches));
    if (enabled[RING] && enabled[ORDINARY]) printf(" ring/ord %.2f", median_ratio(times[RING], times[ORDINARY], batches));
    if (enabled[RING_REGISTERED] && enabled[REGISTERED]) printf(" ring/reg %.2f", median_ratio(times[RING_REGISTERED], times[REGISTERED], batches));
    printf("\n");
    fflush(stdout);
}

/* One core a rank where there are enough, as mpirun binds. */
static void bind_to_core(void) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(rank, &cores);
    if (world <= sysconf(_SC_NPROCESSORS_ONLN)) sched_setaffinity(0, sizeof cores, &cores);
}

static void run(const char *address, int batches, long first, long last, bool with_mpi) {
    char error[1024], *segment = getenv("SEGMENT");
    dt_options options = {.struct_bytes = sizeof options, .transport = DT_TRANSPORT_SHM, .rank = rank, .world_size = world, .timeout_ms = 60000,
                          .address = address, .secret = "bench", .secret_bytes = 5, .segment_bytes = segment ? atol(segment) : 0};
    if (dt_comm_init(&options, &comm, error, sizeof error) != DT_OK) fprintf(stderr, "rank %d: %s\n", rank, error), exit(1);
    if (with_mpi) {
        dt_options mpi = {.struct_bytes = sizeof mpi, .transport = DT_TRANSPORT_MPI, .rank = -1, .timeout_ms = 60000, .segment_bytes = options.segment_bytes};
        if (dt_comm_init(&mpi, &over_mpi, error, sizeof error) != DT_OK) fprintf(stderr, "rank %d: %s\n", rank, error), exit(1);
    }
    void *memory;
    must(dt_alloc(comm, LARGEST, getenv("HUGE") ? DT_HUGE_PAGES : 0, &memory));
    registered = memory;
    ordinary = aligned_alloc(4096, LARGEST);
    mpi_buffer = aligned_alloc(4096, LARGEST);
    memset(ordinary, 0, LARGEST);
    memset(mpi_buffer, 0, LARGEST);
    if (world == 2) prepare_bound();
    for (long bytes = first; bytes <= last; bytes *= 4) {
        bool enabled[FORMS] = {[BOUND] = world == 2, [REGISTERED] = true, [ORDINARY] = true, [RING] = bytes >= 1 << 18,
                               [RING_REGISTERED] = bytes >= 1 << 18, [MPI_FORM] = with_mpi, [OVER_MPI] = with_mpi, [RING_OVER_MPI] = with_mpi};
        for (int form = 0; form < FORMS; form++) enabled[form] = enabled[form] && (!getenv("FORMS") || chosen(form));
        measure(bytes, batches, enabled);
    }
    must(dt_comm_destroy(comm));
    must(dt_comm_destroy(over_mpi));
    free(ordinary);
    free(mpi_buffer);
}

int main(int argc, char **argv) {
    char address[64];
    world = argc > 1 ? atoi(argv[1]) : 2;
    int batches = argc > 2 ? atoi(argv[2]) : 15;
    long first = argc > 3 ? atol(argv[3]) : 1024, last = argc > 4 ? atol(argv[4]) : LARGEST;
    if (world < 2 || batches < 1 || batches > BATCHES_MAX || last > LARGEST) return 2;
#ifdef WITH_MPI
    int id = getpid();
    int level;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world);
    MPI_Bcast(&id, 1, MPI_INT, 0, MPI_COMM_WORLD);
    snprintf(address, sizeof address, "@disttrain-bench-%d", id);
    run(address, batches, first, last, true);
    MPI_Finalize();
#else
    snprintf(address, sizeof address, "@disttrain-bench-%d", (int)getpid());
    for (int r = 1; r < world; r++)
        if (fork() == 0) {
            rank = r;
            bind_to_core();
            run(address, batches, first, last, false);
            return 0;
        }
    bind_to_core();
    run(address, batches, first, last, false);
    while (wait(NULL) > 0) continue;
#endif
    return 0;
}
