using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace DistTrain.Kernels;

/// <summary>Host pages locked for a CUDA device; disposing unlocks them. From any thread.</summary>
internal sealed class CudaPageLock : IDisposable
{
    private readonly CudaAccelerator _accelerator;
    private readonly PageLockScope<byte> _scope;

    private CudaPageLock(CudaAccelerator accelerator, PageLockScope<byte> scope) => (_accelerator, _scope) = (accelerator, scope);

    /// <returns>Null where the device can't address host memory: then there is nothing to gain.</returns>
    /// <exception cref="DeviceException">The driver refused.</exception>
    internal static CudaPageLock? TryCreate(string device, CudaAccelerator accelerator, nint address, long byteCount)
    {
        // The driver's calls mean the context of the calling thread.
        using ScopedAcceleratorBinding bound = accelerator.BindScoped();
        try
        {
            return new CudaPageLock(accelerator, accelerator.CreatePageLockFromPinned<byte>(address, byteCount));
        }
        catch (NotSupportedException)
        {
            return null;
        }
        catch (AcceleratorException failure)
        {
            throw new DeviceException($"{device} can't lock {byteCount:N0} bytes of host memory: {failure.Message}", failure);
        }
    }

    public void Dispose()
    {
        using ScopedAcceleratorBinding bound = _accelerator.BindScoped();
        _scope.Dispose();
    }
}
