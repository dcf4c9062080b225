using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>
/// RandAugment: a number of operations, each drawn from a list with equal chances, all with the same magnitude (E. Cubuk, B. Zoph, J. Shlens, Q. Le,
/// arXiv 1909.13719). Randomness comes only from the element's own numbers and pixels only from integers, so that the same seed gives the same bytes
/// on every machine and any number of threads. One object serves any number of threads; in a steady state applying it allocates nothing.
/// </summary>
public sealed class RandAugment
{
    private readonly AugmentationOperation[] _operations;

    /// <param name="count">Operations an image (N); 1 to 3 are usual.</param>
    /// <param name="magnitude">Their magnitude (M), 0 to 30; see <see cref="AugmentationStrength"/>.</param>
    /// <param name="table">How the magnitude becomes strengths.</param>
    /// <param name="fill">
    /// What is moved in from outside, in every channel: 128 for photographs, the background for drawings (0 for Fashion-MNIST).
    /// </param>
    /// <param name="operations">What is drawn from; null: <see cref="PaperOperations"/>.</param>
    /// <exception cref="ArgumentException">No operations; a count below 0; a magnitude outside its range.</exception>
    public RandAugment(
        int count = 2, double magnitude = 9, MagnitudeTable table = MagnitudeTable.Published, byte fill = 128, IReadOnlyList<AugmentationOperation>? operations = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        _operations = [.. operations ?? PaperOperations];
        if (_operations.Length == 0) throw new ArgumentException("no operations to draw from", nameof(operations));
        foreach (AugmentationOperation operation in _operations)
        {
            if (!Enum.IsDefined(operation)) throw new ArgumentException($"{operation} is no operation", nameof(operations));
            AugmentationStrength.Of(operation, magnitude, table, isNegative: false);
        }
        Count = count;
        Magnitude = magnitude;
        Table = table;
        Fill = fill;
    }

    /// <summary>The 14 operations of the paper (section 3).</summary>
    public static IReadOnlyList<AugmentationOperation> PaperOperations { get; } =
    [
        AugmentationOperation.Identity, AugmentationOperation.AutoContrast, AugmentationOperation.Equalize, AugmentationOperation.Rotate,
        AugmentationOperation.Solarize, AugmentationOperation.Saturation, AugmentationOperation.Posterize, AugmentationOperation.Contrast,
        AugmentationOperation.Brightness, AugmentationOperation.Sharpness, AugmentationOperation.ShearX, AugmentationOperation.ShearY, AugmentationOperation.TranslateX, AugmentationOperation.TranslateY,
    ];

    /// <summary>
    /// The 16 operations of the code that EfficientNet and Noisy Student (arXiv 1911.04252) were trained with: no identity; inverting, SolarizeAdd
    /// and cutout beside.
    /// </summary>
    public static IReadOnlyList<AugmentationOperation> NoisyStudentOperations { get; } =
        [.. Enum.GetValues<AugmentationOperation>().Where(operation => operation != AugmentationOperation.Identity)];

    /// <summary>Operations an image.</summary>
    public int Count { get; }

    /// <summary>Their magnitude.</summary>
    public double Magnitude { get; }

    /// <summary>How the magnitude becomes strengths.</summary>
    public MagnitudeTable Table { get; }

    /// <summary>What is moved in from outside.</summary>
    public byte Fill { get; }

    /// <summary>What is drawn from.</summary>
    public IReadOnlyList<AugmentationOperation> Operations => _operations;

    /// <summary>Draws operations and applies them in place.</summary>
    /// <param name="image">The image.</param>
    /// <param name="random">The element's random numbers: for each operation one, and one more if its strength has a sign; cutout two more.</param>
    public void Apply(in ImageView image, ref ElementRandom random)
    {
        byte[] scratch = ArrayPool<byte>.Shared.Rent(image.Pixels.Length);
        for (int i = 0; i < Count; i++)
        {
            AugmentationOperation operation = _operations[random.Next(_operations.Length)];
            bool isNegative = AugmentationStrength.IsSigned(operation, Table) && random.Next(2) == 1;
            double strength = AugmentationStrength.Of(operation, Magnitude, Table, isNegative);
            Apply(operation, strength, Fill, image, scratch.AsSpan(0, image.Pixels.Length), ref random);
        }
        ArrayPool<byte>.Shared.Return(scratch);
    }

    /// <summary>Applies one operation in place.</summary>
    /// <param name="operation">Which.</param>
    /// <param name="strength">In the operation's own unit, sign included.</param>
    /// <param name="fill">What is moved in from outside.</param>
    /// <param name="image">The image.</param>
    /// <param name="scratch">As many bytes as the image has; apart from it.</param>
    /// <param name="random">Drawn from by cutout only.</param>
    public static void Apply(AugmentationOperation operation, double strength, byte fill, in ImageView image, Span<byte> scratch, ref ElementRandom random)
    {
        switch (operation)
        {
            case AugmentationOperation.Identity: break;
            case AugmentationOperation.AutoContrast: ColourOperations.AutoContrast(image); break;
            case AugmentationOperation.Equalize: ColourOperations.Equalize(image); break;
            case AugmentationOperation.Invert: ColourOperations.Invert(image); break;
            case AugmentationOperation.Posterize: ColourOperations.Posterize(image, (int)strength); break;
            case AugmentationOperation.Solarize: ColourOperations.Solarize(image, (int)strength); break;
            case AugmentationOperation.SolarizeAdd: ColourOperations.SolarizeAdd(image, (int)strength); break;
            case AugmentationOperation.Saturation: ColourOperations.Saturation(image, strength); break;
            case AugmentationOperation.Contrast: ColourOperations.Contrast(image, strength); break;
            case AugmentationOperation.Brightness: ColourOperations.Brightness(image, strength); break;
            case AugmentationOperation.Cutout: Cutout.Apply(image, (int)((strength * Math.Min(image.Height, image.Width)) + 0.5), fill, ref random); break;
            case AugmentationOperation.Sharpness:
                Sharpness.Apply(Copied(image, scratch), image, strength);
                break;
            default:
                AffineSampler.Sample(Copied(image, scratch), image, Map(operation, strength, image), fill);
                break;
        }
    }

    // Operations that read neighbours read them from a copy.
    private static ImageView Copied(in ImageView image, Span<byte> scratch)
    {
        image.Pixels.CopyTo(scratch);
        return new ImageView(scratch, image.Height, image.Width, image.Channels);
    }

    private static AffineMap Map(AugmentationOperation operation, double strength, in ImageView image) => operation switch
    {
        AugmentationOperation.Rotate => AffineMap.Rotation(strength, image.Height, image.Width),
        AugmentationOperation.ShearX => AffineMap.ShearX(strength),
        AugmentationOperation.ShearY => AffineMap.ShearY(strength),
        AugmentationOperation.TranslateX => AffineMap.Translation(strength * image.Width, 0),
        AugmentationOperation.TranslateY => AffineMap.Translation(0, strength * image.Height),
        _ => throw new ArgumentOutOfRangeException(nameof(operation), operation, "no operation"),
    };
}
