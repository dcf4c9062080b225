namespace DistTrain.Ingest;

/// <summary>What values a feature of a <c>tf.train.Example</c> holds (TensorFlow, <c>core/example/feature.proto</c>).</summary>
public enum FeatureKind
{
    /// <summary>None: the feature is absent, or present without a list.</summary>
    None = 0,

    /// <summary>Byte strings.</summary>
    Bytes = 1,

    /// <summary>32-bit floats.</summary>
    Float = 2,

    /// <summary>64-bit signed integers.</summary>
    Int64 = 3,
}
