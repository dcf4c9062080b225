using System.Runtime.InteropServices;
using DistTrain.Collectives;
using DistTrain.Kernels;

/// <summary>Checks every algorithm, the fixed order and training-like use over MPI: one line when all is well.</summary>
internal static class Algorithms
{
    internal static int Run()
    {
        using CpuDevice device = new("cpu", InstructionSets.Best, threadCount: 1);
        int rank = 0, worldSize = 0;
        foreach (AllReduceAlgorithm? algorithm in new AllReduceAlgorithm?[] { null, AllReduceAlgorithm.Ring, AllReduceAlgorithm.Direct, AllReduceAlgorithm.Tree, AllReduceAlgorithm.RecursiveDoubling, AllReduceAlgorithm.DoubleTree })
        {
            using ICommunicator communicator = Communicator.Mpi(new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60), Algorithm = algorithm });
            (rank, worldSize) = (communicator.Rank, communicator.WorldSize);
            foreach (int size in (int[])[0, 1, 5, 10_007, 300_000])
                foreach (ReduceOp op in (ReduceOp[])[ReduceOp.Sum, ReduceOp.Max, ReduceOp.Average])
                {
                    Check<float>(communicator, device, size, op, algorithm);
                    Check<long>(communicator, device, size, op, algorithm);
                }
        }
        CheckFixedOrder(device);
        Console.WriteLine($"rank {rank} of {worldSize}: every algorithm is exact");
        return 0;
    }

    // Sums of small integers are exact in any order.
    private static void Check<T>(ICommunicator communicator, CpuDevice device, int size, ReduceOp op, AllReduceAlgorithm? algorithm) where T : unmanaged, System.Numerics.INumber<T>
    {
        int n = communicator.WorldSize;
        using Tensor tensor = Tensor.Allocate(device.DefaultStream, new Shape(size), DTypes.Of<T>());
        Span<T> values = tensor.AsSpan<T>();
        for (int i = 0; i < size; i++) values[i] = T.CreateChecked(n * (communicator.Rank + (i % 5)));
        communicator.AllReduceAsync(device.DefaultStream, tensor, op).Wait();
        for (int i = 0; i < size; i++)
        {
            int sum = Enumerable.Range(0, n).Sum(r => n * (r + (i % 5)));
            int expected = op == ReduceOp.Sum ? sum : op == ReduceOp.Max ? n * (n - 1 + (i % 5)) : sum / n;
            if (values[i] != T.CreateChecked(expected)) throw new InvalidOperationException($"{algorithm?.ToString() ?? "own"}, {op}, {typeof(T).Name}, element {i} of {size}: found {values[i]}, expected {expected}");
        }
    }

    // Values whose sum depends on the order of additions: it must be the tree's.
    private static void CheckFixedOrder(CpuDevice device)
    {
        using ICommunicator communicator = Communicator.Mpi(new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60), Determinism = Determinism.FixedOrder });
        foreach (int size in (int[])[3, 10_007])
        {
            using Tensor tensor = Tensor.From(device.DefaultStream, Enumerable.Range(0, size).Select(i => Rough(communicator.Rank, i)).ToArray(), new Shape(size));
            communicator.AllReduce(device.DefaultStream, tensor);
            ReadOnlySpan<int> found = MemoryMarshal.Cast<float, int>(tensor.AsSpan<float>());
            for (int i = 0; i < size; i++)
            {
                float expected = FixedTree.Reduce(0, communicator.WorldSize, r => Rough(r, i), (left, right) => left + right);
                if (found[i] != BitConverter.SingleToInt32Bits(expected)) throw new InvalidOperationException($"fixed order, element {i} of {size}: not the tree's bits");
            }
        }
    }

    private static float Rough(int rank, int element) => MathF.Sin((rank * 91.7f) + element) * (rank % 3 == 0 ? 1 : 1e-3f);
}
