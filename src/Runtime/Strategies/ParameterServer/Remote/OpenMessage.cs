using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A worker's wish to take part: its name, which of its sessions this is (16 random bytes, the same for all its connections), and the variables that it expects.</summary>
internal sealed record OpenMessage(string Worker, Guid Session, VariableLayout Layout)
{
    internal const int MaxWorkerByteCount = 128, MaxNameByteCount = 1024, MaxByteCount = 64 << 20;

    internal WireWriter Write()
    {
        WireWriter writer = new WireWriter().Text(Worker).Bytes(Session.ToByteArray()).Int32(Layout.Variables.Count);
        foreach (StoredVariable variable in Layout.Variables)
        {
            writer.Byte(variable.IsState ? (byte)1 : (byte)0).Byte((byte)variable.Shape.DimensionCount);
            Shape shape = variable.Shape;
            foreach (int extent in shape.Dimensions) writer.Int32(extent);
            writer.Text(variable.Name);
        }
        return writer;
    }

    /// <param name="bytes">The whole body.</param>
    /// <param name="maxElementCount">Elements that the variables may have together.</param>
    /// <exception cref="ParameterProtocolException">It is none, or too large.</exception>
    internal static OpenMessage Read(ReadOnlySpan<byte> bytes, long maxElementCount)
    {
        WireReader reader = new(bytes);
        string worker = reader.Text(MaxWorkerByteCount);
        if (worker.Length == 0 || worker.Any(char.IsControl)) throw new ParameterProtocolException("a worker's name is empty or has control characters");
        Guid session = new(reader.Take(16));
        StoredVariable[] variables = new StoredVariable[reader.Count(leastByteCount: 6, VariableLayout.LargestCount)];
        long elementCount = 0;
        for (int i = 0; i < variables.Length; i++)
        {
            variables[i] = ReadVariable(ref reader, maxElementCount);
            elementCount += variables[i].Shape.ElementCount;
            if (elementCount > maxElementCount) throw new ParameterProtocolException($"variables of more than {maxElementCount:N0} elements, which is the server's limit; divide them among more servers, or raise its message size");
        }
        reader.End();
        try
        {
            return new OpenMessage(worker, session, new VariableLayout(variables));
        }
        catch (ArgumentException failure)
        {
            throw new ParameterProtocolException(failure.Message);
        }
    }

    private static StoredVariable ReadVariable(ref WireReader reader, long maxElementCount)
    {
        byte isState = reader.Byte(), dimensionCount = reader.Byte();
        if (isState > 1 || dimensionCount > Shape.MaxDimensionCount) throw new ParameterProtocolException($"a variable of kind {isState} with {dimensionCount} dimensions");
        Span<int> extents = stackalloc int[dimensionCount];
        for (int dimension = 0; dimension < dimensionCount; dimension++) extents[dimension] = reader.Int32();
        string name = reader.Text(MaxNameByteCount);
        if (name.Split('.').Any(part => part.Length == 0 || part.Any(char.IsControl))) throw new ParameterProtocolException($"a variable's name '{Printable(name)}' has an empty part or control characters");
        Shape shape;
        try
        {
            shape = new Shape(extents);
        }
        catch (ArgumentException failure)
        {
            throw new ParameterProtocolException($"variable '{name}': {failure.Message}");
        }
        if (shape.ElementCount > maxElementCount) throw new ParameterProtocolException($"variable '{name}' has {shape.ElementCount:N0} elements, the server's limit is {maxElementCount:N0}");
        return new StoredVariable(name, shape, isState == 1);
    }

    private static string Printable(string text) => new([.. text.Take(100).Select(letter => char.IsControl(letter) ? '?' : letter)]);
}
