/* A BLAS or oneDNN as a peer of `disttrain bench matmul`: answers questions of the protocol in README.md.
   Built by setup.sh twice: with -DONEDNN -ldnnl, and with -lopenblas. Threads come from the environment (OMP_NUM_THREADS, OPENBLAS_NUM_THREADS).
   Matrices are row-major: C[m,n] = op(A)[m,k] * op(B)[k,n]. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef ONEDNN
#include <dnnl.h>
static void sgemm(char ta, char tb, int m, int n, int k, const float *a, const float *b, float *c) {
    dnnl_sgemm(ta, tb, m, n, k, 1, a, ta == 'N' ? k : m, b, tb == 'N' ? n : k, 0, c, n);
}
static void print_ready(void) {
    const dnnl_version_t *v = dnnl_version();
    printf("ready onednn %d.%d.%d\n", v->major, v->minor, v->patch);
}
#else
#include <cblas.h>
static void sgemm(char ta, char tb, int m, int n, int k, const float *a, const float *b, float *c) {
    cblas_sgemm(CblasRowMajor, ta == 'N' ? CblasNoTrans : CblasTrans, tb == 'N' ? CblasNoTrans : CblasTrans, m, n, k, 1, a,
                ta == 'N' ? k : m, b, tb == 'N' ? n : k, 0, c, n);
}
static void print_ready(void) {
    printf("ready openblas %s (%s kernels, %d threads)\n", openblas_get_config(), openblas_get_corename(), openblas_get_num_threads());
}
#endif

typedef struct {
    char text[256]; /* the case as asked, to know it again */
    int m, n, k;
    char ta, tb;
    float *a, *b, *c;
} matmul;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static float *random_floats(size_t count) {
    float *numbers = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
    for (size_t i = 0; i < count; i++) numbers[i] = rand() / (float)RAND_MAX - .5f;
    return numbers;
}

static void run(const matmul *w) { sgemm(w->ta, w->tb, w->m, w->n, w->k, w->a, w->b, w->c); }

/* A peer that multiplies something else (a transposition misread, say) would be fast and worthless: check a few elements. */
static int is_right(const matmul *w) {
    run(w);
    for (int probe = 0; probe < 16; probe++) {
        size_t i = (size_t)rand() % w->m, j = (size_t)rand() % w->n;
        double sum = 0;
        for (size_t p = 0; p < (size_t)w->k; p++)
            sum += (double)w->a[w->ta == 'N' ? i * w->k + p : p * w->m + i] * w->b[w->tb == 'N' ? p * w->n + j : j * w->k + p];
        if (fabs(sum - w->c[i * w->n + j]) > 1e-3 * sqrt(w->k)) return 0;
    }
    return 1;
}

static int open_case(matmul *w, const char *text) {
    char ta[2], tb[2];
    if (strcmp(w->text, text) == 0) return 1;
    free(w->a), free(w->b), free(w->c);
    memset(w, 0, sizeof *w);
    if (sscanf(text, "matmul %d %d %d %1s %1s", &w->m, &w->n, &w->k, ta, tb) != 5) return 0;
    w->ta = ta[0] == 't' ? 'T' : 'N';
    w->tb = tb[0] == 't' ? 'T' : 'N';
    w->a = random_floats((size_t)w->m * w->k);
    w->b = random_floats((size_t)w->k * w->n);
    w->c = random_floats((size_t)w->m * w->n);
    strncpy(w->text, text, sizeof w->text - 1);
    return 1;
}

/* Seconds a call: a fifth of the time to warm up and to learn how many calls fit, then one timed batch. */
static double measure(const matmul *w, double seconds) {
    long calls = 0;
    double start = now(), warm;
    do run(w), calls++, warm = now() - start;
    while (warm < seconds * .2);
    long batch = (long)(seconds * .8 / (warm / calls));
    if (batch < 1) batch = 1;
    start = now();
    for (long i = 0; i < batch; i++) run(w);
    return (now() - start) / batch;
}

int main(void) {
    char line[512];
    matmul work = {0};
    print_ready();
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        int milliseconds, start;
        line[strcspn(line, "\r\n")] = 0;
        if (sscanf(line, "%d %n", &milliseconds, &start) != 1) printf("error: expected MILLISECONDS CASE, found '%s'\n", line);
        else {
            int is_new = strcmp(work.text, line + start) != 0;
            if (!open_case(&work, line + start)) printf("unsupported\n");
            else if (is_new && !is_right(&work)) printf("error: wrong result\n");
            else printf("%.9e\n", measure(&work, milliseconds * 1e-3));
        }
        fflush(stdout);
    }
    return 0;
}
