using ILGPU;

namespace DistTrain.Kernels;

/// <summary>How a GPU kernel reads an operand's elements, whatever they are stored as: arithmetic is f32.</summary>
internal interface IGpuElement<T> where T : unmanaged
{
    float Widen(T element);
}

/// <summary>f32 as it is.</summary>
internal readonly struct FloatElement : IGpuElement<float>
{
    public float Widen(float element) => element;
}

/// <summary>bf16 as 16-bit integers.</summary>
internal readonly struct BrainElement : IGpuElement<ushort>
{
    public float Widen(ushort element) => SixteenBits.FromBrain(element);
}

/// <summary>f16 as 16-bit integers.</summary>
internal readonly struct HalfElement : IGpuElement<ushort>
{
    public float Widen(ushort element) => SixteenBits.FromHalf(element);
}

/// <summary>Reads elements.</summary>
internal static class GpuElements
{
    public static float Read<T, TElement>(ArrayView<T> elements, long index) where T : unmanaged where TElement : unmanaged, IGpuElement<T>
    {
        TElement element = default;
        return element.Widen(elements[index]);
    }
}
