using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace DistTrain.Kernels;

/// <summary>Device memory that somebody else owns, as ILGPU's kernels and copies see it. Disposing frees nothing.</summary>
internal sealed class ExternalCudaMemory : MemoryBuffer
{
    public ExternalCudaMemory(CudaAccelerator accelerator, nint pointer, long byteCount)
        : base(accelerator, byteCount, 1) => NativePtr = pointer;

    protected override void MemSet(AcceleratorStream stream, byte value, in ArrayView<byte> targetView) =>
        CudaMemoryBuffer.CudaMemSet((CudaStream)stream, value, targetView);

    protected override void CopyFrom(AcceleratorStream stream, in ArrayView<byte> sourceView, in ArrayView<byte> targetView) =>
        CudaMemoryBuffer.CudaCopy((CudaStream)stream, sourceView, targetView);

    protected override void CopyTo(AcceleratorStream stream, in ArrayView<byte> sourceView, in ArrayView<byte> targetView) =>
        CudaMemoryBuffer.CudaCopy((CudaStream)stream, sourceView, targetView);

    protected override void DisposeAcceleratorObject(bool disposing)
    {
    }
}
