using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>What replicas make sure of together: that they train the same model, and that its values are the same.</summary>
internal static class ReplicaAgreement
{
    private const int DigestInts = 8;

    /// <summary>Makes sure that all replicas have the same model, and gives all the first one's values. Collective.</summary>
    /// <exception cref="StateMismatchException">As for <see cref="CheckSameModel"/>.</exception>
    internal static void Mirror(ExecutionStream stream, ICommunicator communicator, Module model)
    {
        CheckSamePlace(stream, communicator, stream.Device.Kind, typeof(ReplicaAgreement).Assembly.GetName().Version!);
        CheckSameModel(stream, communicator, model);
        foreach (Tensor tensor in model.SaveState().Values) communicator.Broadcast(stream, tensor);
        foreach (Parameter parameter in model.Parameters()) parameter.MarkChanged();
    }

    /// <summary>Adds up numbers over all replicas. Collective.</summary>
    internal static void Sum(ExecutionStream stream, ICommunicator communicator, Span<double> numbers)
    {
        using Tensor tensor = Tensor.From<double>(stream, numbers, new Shape(numbers.Length));
        communicator.AllReduce(stream, tensor);
        tensor.CopyTo(stream, numbers);
    }

    /// <summary>Compares what replicas run on: the kind of device and the library's version. Collective.</summary>
    /// <exception cref="InvalidOperationException">They differ; on every replica, with the first that differs from the first one.</exception>
    internal static void CheckSamePlace(ExecutionStream stream, ICommunicator communicator, DeviceKind kind, Version version)
    {
        int[][] all = Gather(stream, communicator, [(int)kind, version.Major, version.Minor, version.Build]);
        for (int rank = 1; rank < all.Length; rank++)
        {
            if (all[rank][0] != all[0][0])
                throw new InvalidOperationException($"replica {rank} computes on {(DeviceKind)all[rank][0]}, replica 0 on {(DeviceKind)all[0][0]}: replicas would wait for the slowest and differ in their last bits: take devices of one kind");
            if (!all[rank].AsSpan().SequenceEqual(all[0]))
                throw new InvalidOperationException($"replica {rank} runs version {string.Join('.', all[rank][1..])} of DistTrain, replica 0 {string.Join('.', all[0][1..])}: install the same on all machines");
        }
    }

    /// <summary>Compares names and shapes of parameters and state over all replicas. Collective.</summary>
    /// <exception cref="StateMismatchException">This replica's model differs from the first one's. Replicas that agree with it get an <see cref="InvalidOperationException"/> that names those that do not.</exception>
    internal static void CheckSameModel(ExecutionStream stream, ICommunicator communicator, Module model)
    {
        byte[] text = Encoding.UTF8.GetBytes(string.Join('\n', model.SaveState().Select(entry => $"{entry.Key} {entry.Value.Shape}")));
        int[][] digests = Gather(stream, communicator, [.. Words(SHA256.HashData(text)), text.Length]);
        int[] different = [.. Enumerable.Range(0, digests.Length).Where(rank => !digests[rank].AsSpan().SequenceEqual(digests[0]))];
        if (different.Length == 0) return;
        string[] first = Encoding.UTF8.GetString(Broadcast(stream, communicator, text, digests[0][DigestInts])).Split('\n'), own = Encoding.UTF8.GetString(text).Split('\n');
        if (different.Contains(communicator.Rank)) throw Difference(first, own);
        throw new InvalidOperationException($"replica(s) {string.Join(", ", different)} have another model than replica 0: every replica must make the same one");
    }

    /// <summary>Compares all replicas' parameters and state bit by bit. Collective.</summary>
    /// <exception cref="InvalidOperationException">They differ; the message names tensors and replicas.</exception>
    internal static void CheckSameValues(ExecutionStream stream, ICommunicator communicator, Module model, string when)
    {
        KeyValuePair<string, Tensor>[] tensors = [.. model.SaveState()];
        int[][] digests = Gather(stream, communicator, [.. tensors.Select(tensor => Words(SHA256.HashData(MemoryMarshal.AsBytes<float>(tensor.Value.ToArray<float>(stream))))[0])]);
        for (int i = 0; i < tensors.Length; i++)
        {
            int[] different = [.. Enumerable.Range(0, digests.Length).Where(rank => digests[rank][i] != digests[0][i])];
            if (different.Length > 0) throw new InvalidOperationException($"{when}: '{tensors[i].Key}' of replica(s) {string.Join(", ", different)} differs from replica 0's");
        }
    }

    private static StateMismatchException Difference(string[] first, string[] own)
    {
        Dictionary<string, string> here = own.Select(Split).ToDictionary(), there = first.Select(Split).ToDictionary();
        return new StateMismatchException(
            [.. there.Keys.Where(name => !here.ContainsKey(name))], [.. here.Keys.Where(name => !there.ContainsKey(name))],
            [.. there.Where(entry => here.TryGetValue(entry.Key, out string? shape) && shape != entry.Value).Select(entry => $"{entry.Key} is {here[entry.Key]}, replica 0 has {entry.Value}")]);

        static KeyValuePair<string, string> Split(string line) => line.IndexOf(' ', StringComparison.Ordinal) is int at and >= 0 ? new(line[..at], line[(at + 1)..]) : new(line, "");
    }

    private static int[][] Gather(ExecutionStream stream, ICommunicator communicator, int[] own)
    {
        using Tensor send = Tensor.From(stream, own, new Shape(own.Length));
        using Tensor receive = Tensor.Allocate(stream, new Shape(own.Length * communicator.WorldSize), DType.I32);
        communicator.AllGather(stream, send, receive);
        return [.. receive.ToArray<int>(stream).Chunk(Math.Max(own.Length, 1))];
    }

    private static byte[] Broadcast(ExecutionStream stream, ICommunicator communicator, byte[] own, int length)
    {
        int[] words = new int[(length + 3) / 4];
        if (communicator.Rank == 0) own.CopyTo(MemoryMarshal.AsBytes(words.AsSpan()));
        using Tensor tensor = Tensor.From(stream, words, new Shape(words.Length));
        communicator.Broadcast(stream, tensor);
        return MemoryMarshal.AsBytes<int>(tensor.ToArray<int>(stream))[..length].ToArray();
    }

    private static int[] Words(byte[] digest) => MemoryMarshal.Cast<byte, int>(digest).ToArray();
}
