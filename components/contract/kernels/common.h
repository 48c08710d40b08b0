/* Loops that NumPy would walk in many passes; kernels/__init__.py says what each is for.
   C11, nothing beyond its own library. All arrays are C-contiguous. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Which of the threads runs, from 0: each has working memory of its own. */
#ifdef _OPENMP
#include <omp.h>
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif

/* One library for all processors of a kind: the widest instructions that the one at hand has are used. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__)
#define WIDEST __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDEST
#endif

#define INLINE static inline __attribute__((always_inline))
