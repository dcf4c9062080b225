namespace DistTrain.Kernels;

/// <summary>The framework's own conversions, and bf16 from its definition.</summary>
internal static class CastReference
{
    public static void Convert(Tensor output, Tensor input)
    {
        for (int i = 0; i < input.ElementCount; i++)
        {
            switch (input.DType, output.DType)
            {
                case (DType.F32, DType.F16): output.AsSpan<Half>()[i] = (Half)input.AsSpan<float>()[i]; break;
                case (DType.F16, _): output.AsSpan<float>()[i] = (float)input.AsSpan<Half>()[i]; break;
                case (DType.F32, _): output.AsSpan<ushort>()[i] = SixteenBits.ToBrain(input.AsSpan<float>()[i]); break;
                case (DType.BF16, _): output.AsSpan<float>()[i] = BitConverter.UInt32BitsToSingle((uint)input.AsSpan<ushort>()[i] << 16); break;
                default: output.AsSpan<float>()[i] = input.AsSpan<int>()[i]; break;
            }
        }
    }
}
