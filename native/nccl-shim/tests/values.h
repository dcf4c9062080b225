/* Inputs whose reductions are exact in any order, and elements of any type as numbers. */
#ifndef DT_TESTS_VALUES_H
#define DT_TESTS_VALUES_H

#include <stdbool.h>
#include <stdint.h>

/* The value that a rank contributes for an element, so that every partial result of every order is representable exactly. */
double input_value(int32_t op, int32_t dtype, int32_t rank, int32_t world, int64_t element);
/* What all ranks' values give. */
double reduced_value(int32_t op, int32_t dtype, int32_t world, int64_t element);

void put_value(void *buffer, int64_t element, int32_t dtype, double value);
double get_value(const void *buffer, int64_t element, int32_t dtype);

/* Independent of the library's: by arithmetic on numbers, for finite values. */
uint16_t half_from(double value);
double half_to(uint16_t half);

#endif
