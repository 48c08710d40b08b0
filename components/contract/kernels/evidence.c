#include "common.h"

/* The page of a history that said most for each of n candidates: see evidence.Evidence. */
WIDEST void evidence(
    int64_t n, int64_t length, int64_t places, int64_t entries,
    const int32_t *history,                  /* (., length), -1 pads */
    const int32_t *row, const int32_t *page, /* (n), whose candidate, and which */
    const int32_t *begin, const int32_t *end, const int32_t *size, /* (n), columns of its list, places looked at */
    const float *weight,                                           /* (n, places) */
    const int32_t *index, const float *listed,                     /* (., entries) */
    int32_t *found) {
  for (int64_t i = 0; i < n; i++) {
    float most = 0;
    found[i] = -1;
    for (int64_t j = 0; j < length && j < size[i]; j++) {
      const int64_t past = history[row[i] * length + j], at = past * entries;
      if (past < 0) break;
      int32_t hit = -1;
      for (int32_t e = begin[i]; e < end[i]; e++)
        hit = (index[at + e] == page[i]) & (listed[at + e] > 0) ? e : hit;
      const float said = hit < 0 ? 0 : listed[at + hit] * weight[i * places + j];
      if (said > most) most = said, found[i] = (int32_t)past;
    }
  }
}
