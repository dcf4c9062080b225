namespace DistTrain.Kernels;

/// <summary>The CPU path: an item is a run of whole planes, so gradients that overlap are added by one thread, in row-major order.</summary>
internal static unsafe class Pooling2dSimd
{
    /// <summary>Input elements of one item, about.</summary>
    private const int ItemElementCount = 16_384;

    public static void MaxForward(CpuDevice cpu, Tensor output, Tensor indices, Tensor input, in PoolingGeometry geometry)
    {
        MaxPoolingKernel kernel = new()
        {
            Geometry = geometry, PlanesOfItem = PlanesOfItem(geometry),
            Output = (float*)output.Pointer, Indices = (int*)indices.Pointer, Input = (float*)input.Pointer,
        };
        cpu.Run(kernel, ItemCount(geometry));
    }

    public static void MaxBackward(CpuDevice cpu, Tensor dInput, Tensor dOutput, Tensor indices, in PoolingGeometry geometry)
    {
        MaxPoolingBackwardKernel kernel = new()
        {
            Geometry = geometry, PlanesOfItem = PlanesOfItem(geometry),
            DInput = (float*)dInput.Pointer, DOutput = (float*)dOutput.Pointer, Indices = (int*)indices.Pointer,
        };
        cpu.Run(kernel, ItemCount(geometry));
    }

    public static void AverageForward(CpuDevice cpu, Tensor output, Tensor input, in PoolingGeometry geometry)
    {
        AveragePoolingKernel kernel = new()
        {
            Geometry = geometry, PlanesOfItem = PlanesOfItem(geometry), Output = (float*)output.Pointer, Input = (float*)input.Pointer,
        };
        cpu.Run(kernel, ItemCount(geometry));
    }

    public static void AverageBackward(CpuDevice cpu, Tensor dInput, Tensor dOutput, in PoolingGeometry geometry)
    {
        AveragePoolingBackwardKernel kernel = new()
        {
            Geometry = geometry, PlanesOfItem = PlanesOfItem(geometry), DInput = (float*)dInput.Pointer, DOutput = (float*)dOutput.Pointer,
        };
        cpu.Run(kernel, ItemCount(geometry));
    }

    private static int PlanesOfItem(in PoolingGeometry geometry) => Math.Max(1, ItemElementCount / geometry.InputPlane);

    private static int ItemCount(in PoolingGeometry geometry) =>
        (geometry.PlaneCount + PlanesOfItem(geometry) - 1) / PlanesOfItem(geometry);
}
