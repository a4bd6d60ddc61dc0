/* What this machine can do at most: bytes read from memory, and products a second. Built and run by search.py.
 *
 * read:  64 bytes at a time over a buffer far larger than the caches, every thread its own part.
 * fma:   independent chains of fused multiply-adds in registers, float32.
 * int8:  independent chains of int8 dot products in registers: VNNI's where the processor has it; else AVX2's
 *        vpmaddubsw, vpmaddwd and vpaddd, the shortest exact way that it has.
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

typedef struct {
    const char *at;
    size_t bytes, rounds;
    volatile long sink;
    int kind;
} Task;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

__attribute__((target("avx2"))) static void read_all(Task *task) {
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t k = 0; k + 128 <= task->bytes; k += 128) {
        const char *at = task->at + k;
        a = _mm256_xor_si256(a, _mm256_load_si256((const __m256i *)at));
        b = _mm256_xor_si256(b, _mm256_load_si256((const __m256i *)(at + 32)));
        c = _mm256_xor_si256(c, _mm256_load_si256((const __m256i *)(at + 64)));
        d = _mm256_xor_si256(d, _mm256_load_si256((const __m256i *)(at + 96)));
    }
    a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    task->sink = _mm256_extract_epi32(a, 0) ^ _mm256_extract_epi32(a, 5);
}

#define CHAINS 12

__attribute__((target("avx2,fma"))) static void fma_avx2(Task *task) {
    __m256 s[CHAINS], x = _mm256_set1_ps(0.5f), y = _mm256_set1_ps(1e-9f);
    for (int i = 0; i < CHAINS; i++) s[i] = _mm256_set1_ps((float)i);
    for (size_t r = 0; r < task->rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) s[i] = _mm256_fmadd_ps(s[i], x, y);
        __asm__ volatile("" : "+x"(x));
    }
    for (int i = 1; i < CHAINS; i++) s[0] = _mm256_add_ps(s[0], s[i]);
    task->sink = (long)_mm256_cvtss_f32(s[0]);
}

__attribute__((target("avx512f"))) static void fma_avx512(Task *task) {
    __m512 s[CHAINS], x = _mm512_set1_ps(0.5f), y = _mm512_set1_ps(1e-9f);
    for (int i = 0; i < CHAINS; i++) s[i] = _mm512_set1_ps((float)i);
    for (size_t r = 0; r < task->rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) s[i] = _mm512_fmadd_ps(s[i], x, y);
        __asm__ volatile("" : "+v"(x));
    }
    for (int i = 1; i < CHAINS; i++) s[0] = _mm512_add_ps(s[0], s[i]);
    task->sink = (long)_mm512_reduce_add_ps(s[0]);
}

__attribute__((target("avx2"))) static void int8_avx2(Task *task) {
    __m256i s[8], x = _mm256_set1_epi8(3), ones = _mm256_set1_epi16(1), y = _mm256_set1_epi8(5);
    for (int i = 0; i < 8; i++) s[i] = _mm256_set1_epi32(i);
    for (size_t r = 0; r < task->rounds; r++) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            __m256i pairs; /* written out, or the compiler takes this product of constants out of the loop */
            __asm__ volatile("vpmaddubsw %2, %1, %0" : "=x"(pairs) : "x"(x), "x"(y));
            s[i] = _mm256_add_epi32(s[i], _mm256_madd_epi16(pairs, ones));
        }
    }
    for (int i = 1; i < 8; i++) s[0] = _mm256_add_epi32(s[0], s[i]);
    task->sink = _mm256_extract_epi32(s[0], 0);
}

__attribute__((target("avx512f,avx512vnni"))) static void int8_vnni(Task *task) {
    __m512i s[CHAINS], x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(5);
    for (int i = 0; i < CHAINS; i++) s[i] = _mm512_set1_epi32(i);
    for (size_t r = 0; r < task->rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) s[i] = _mm512_dpbusd_epi32(s[i], x, y);
        __asm__ volatile("" : "+v"(x));
    }
    for (int i = 1; i < CHAINS; i++) s[0] = _mm512_add_epi32(s[0], s[i]);
    task->sink = _mm512_reduce_add_epi32(s[0]);
}

/* 1 where int8 products run on VNNI. */
int has_vnni(void) { return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512f"); }

static void *run(void *argument) {
    Task *task = argument;
    if (task->kind == 0) read_all(task);
    else if (task->kind == 1) (__builtin_cpu_supports("avx512f") ? fma_avx512 : fma_avx2)(task);
    else (has_vnni() ? int8_vnni : int8_avx2)(task);
    return NULL;
}

static double together(Task *tasks, int threads) {
    pthread_t started[64];
    double start = now();
    for (int i = 1; i < threads; i++) pthread_create(&started[i], NULL, run, &tasks[i]);
    run(&tasks[0]);
    for (int i = 1; i < threads; i++) pthread_join(started[i], NULL);
    return now() - start;
}

/* Bytes a second. */
double read_peak(const char *buffer, size_t bytes, int threads) {
    Task tasks[64];
    memset(tasks, 0, sizeof tasks);
    size_t part = bytes / (size_t)threads / 4096 * 4096;
    for (int i = 0; i < threads; i++) tasks[i].at = buffer + (size_t)i * part, tasks[i].bytes = part;
    return (double)part * threads / together(tasks, threads);
}

/* Multiplications a second, of float32 (kind 1) or int8 (kind 2) numbers. */
double product_peak(int kind, size_t rounds, int threads) {
    Task tasks[64];
    memset(tasks, 0, sizeof tasks);
    for (int i = 0; i < threads; i++) tasks[i].kind = kind, tasks[i].rounds = rounds;
    double a_round = kind == 1 ? (__builtin_cpu_supports("avx512f") ? 16.0 : 8.0) * CHAINS
                               : has_vnni() ? 64.0 * CHAINS : 32.0 * 8;
    return a_round * (double)rounds * threads / together(tasks, threads);
}
