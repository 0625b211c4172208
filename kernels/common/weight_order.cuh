// Weights between PyTorch's order, `[outer][inner][position]`, and one in which a kernel of training reads them or forms their
// gradient, `[step][from][to]`: from and to are the outer and the inner channels, or the inner and the outer ones, and a step is
// one of the positions, or zeros.
//
// A block of threads turns a tile of 8 outer and 8 inner channels with all positions in shared memory, so that it reads and
// writes whole sectors of both.
#pragma once

// `WeightOrder` in src/device/cuda/training/orders.rs.
struct WeightOrder {
    unsigned int start;   // of the layer's weights among all parameters
    unsigned int packed;  // of the order among all packed weights
    unsigned int outer, inner, positions;
    unsigned int steps, first_step;
    unsigned int from_is_inner;
};

// `WeightTile` there: an order by its number, and the first channels.
struct WeightTile {
    unsigned int order, outer, inner;
};

// All orders, and tiles of which each block takes one.
struct WeightOrders {
    const WeightOrder* orders;
    const unsigned int* steps;  // the position of each step of each order, or NoPosition
    const WeightTile* tiles;
};

struct WeightTurn {
    static constexpr unsigned int NoPosition = 0xffffffffu, Side = 8, MostPositions = 64;
    // An odd number of words a channel, and rows of channels that begin 4 or 8 banks apart, so that 8 `to` and 4 `from` channels are
    // in different banks.
    static constexpr unsigned int MostPitch = Side * (MostPositions + 1) + 28;

    float (&values)[Side * MostPitch];  // of the tile
    const unsigned int* steps;
    WeightOrder order;
    WeightTile tile;

    __device__ WeightTurn(float (&values)[Side * MostPitch], const WeightOrders& all) : values(values), steps(all.steps) {
        tile = all.tiles[blockIdx.x];
        order = all.orders[tile.order];
    }

    __device__ __forceinline__ float& value(unsigned int outer, unsigned int inner, unsigned int position) const {
        const unsigned int channel = order.positions | 1, row = Side * channel, bank = order.from_is_inner ? 4 : 8;
        return values[outer * (row + (32 + bank - row % 32) % 32) + inner * channel + position];
    }

    // Calls `visit(place among all parameters, value)` for what the thread has of the tile in PyTorch's order.
    template <class Visit>
    __device__ __forceinline__ void each_parameter(Visit visit) const {
        const unsigned int row = Side * order.positions;
        for (unsigned int i = threadIdx.x; i < Side * row; i += blockDim.x) {
            const unsigned int outer = i / row, in_row = i % row, inner = in_row / order.positions;
            if (tile.outer + outer < order.outer && tile.inner + inner < order.inner) {
                const unsigned int first = (tile.outer + outer) * order.inner + tile.inner;
                visit(order.start + first * order.positions + in_row, value(outer, inner, in_row % order.positions));
            }
        }
    }

    // Calls `visit(place in the order, value)`, or `visit(place in the order)` for a zero, for what the thread has of it.
    template <class Visit, class Zero>
    __device__ __forceinline__ void each_packed(Visit visit, Zero zero) const {
        for (unsigned int i = threadIdx.x; i < Side * Side * order.steps; i += blockDim.x) {
            const unsigned int to = i % Side, from = i / Side % Side, step = i / (Side * Side);
            const unsigned int outer = order.from_is_inner ? to : from, inner = order.from_is_inner ? from : to;
            if (tile.outer + outer < order.outer && tile.inner + inner < order.inner) {
                const unsigned int first_from = order.from_is_inner ? tile.inner : tile.outer;
                const unsigned int first_to = order.from_is_inner ? tile.outer : tile.inner;
                const unsigned int froms = order.from_is_inner ? order.inner : order.outer;
                const unsigned int tos = order.from_is_inner ? order.outer : order.inner;
                const unsigned int place = (step * froms + first_from + from) * tos + first_to + to;
                const unsigned int position = __ldg(steps + order.first_step + step);
                if (position == NoPosition) {
                    zero(place);
                } else {
                    visit(place, value(outer, inner, position));
                }
            }
        }
    }
};
