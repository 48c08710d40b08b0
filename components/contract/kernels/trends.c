#include "common.h"

/* Decayed counts: see trends.TrendCounters.at. */
WIDEST void decayed(
    int64_t n, int64_t pages,
    const double *count,                   /* (., pages) */
    const int64_t *row, const double *part, /* (n), which of the counts, and what is left of it */
    float *found) {                        /* out (n, pages) */
  for (int64_t i = 0; i < n; i++) {
    const double *of = count + row[i] * pages;
    for (int64_t p = 0; p < pages; p++) found[i * pages + p] = (float)(of[p] * part[i]);
  }
}
